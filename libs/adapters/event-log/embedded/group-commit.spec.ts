import { expect, test } from '@jest/globals';
import { GroupCommit } from './group-commit.js';
import type { LogEngine } from './log-tables.js';
import { Partition } from './partition.js';

test('what was handed in settles together, a step that is fenced too, and does not wait for what comes later', async () => {
  const writes = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const begun = Promise.withResolvers<void>();
  let written = 0;
  const engine: LogEngine = {
    query: () => Promise.reject(new Error('nothing is read')),
    atomic: () => {
      begun.resolve();
      return (writes[written++] ?? writes[1]).promise;
    },
  };
  const topic = { id: 1, name: 't', partitions: 1, retentionMs: 1000, compacted: false };
  const partition = new Partition(topic, 0, 0, engine);
  const commits = new GroupCommit(engine, { maxDelayMs: 1, maxDelayRecords: 1000, nowMs: () => 0 });
  const order: string[] = [];
  const handIn = async (name: string, isOwner: boolean) => {
    const records = [{ key: 'k', value: name }];
    const step = { writes: [{ partition, records }], offsets: [], stillOwner: () => isOwner };
    order.push(`${name} ${await commits.commit(step)}`);
  };
  const before = [handIn('first', true), handIn('last', false)];
  const settled = commits.settled().then(() => order.push('settled'));
  await begun.promise;
  const after = handIn('later', true);
  writes[0].resolve();
  await settled;
  expect(order).toEqual(['first committed', 'last fenced', 'settled']);
  writes[1].resolve();
  await Promise.all([...before, after]);
});
