import { expect, test } from '@jest/globals';
import { TOPICS, topicSpecs } from './topics.js';

const HOUR_S = 3_600;

test.each([
  ['a day, unless it is said', { dedupeWindowS: 300 }, 24 * HOUR_S],
  ['as long as it is said', { dedupeWindowS: 300, executionsRetentionS: 2 * HOUR_S }, 2 * HOUR_S],
  [
    'three dedupe windows at least: a restart reads them again',
    { dedupeWindowS: HOUR_S, executionsRetentionS: 900 },
    3 * HOUR_S,
  ],
  ['a quarter of an hour at least', { dedupeWindowS: 1, executionsRetentionS: 0 }, HOUR_S / 4],
])('executions are kept %s', (_, given, keptS) => {
  const executions = topicSpecs({ partitions: 4, ...given }).find(({ name }) => name === TOPICS.executions);
  expect(executions?.retentionMs).toBe(keptS * 1000);
});
