import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { EmbeddedEventLog, TOPICS, topicSpecs } from '#adapters/event-log';
import { EmbeddedPostgres } from '#adapters/store';
import { DeadLetterTopic } from './dead-letter-topic.js';
import { deadLettersContract } from './dead-letters.contract.js';

let dataDir: string;
let engine: EmbeddedPostgres;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-letters-'));
  engine = await EmbeddedPostgres.open({ dataDir });
}, 30_000);
afterAll(async () => {
  await engine.close();
  rmSync(dataDir, { recursive: true });
});

const open = async () => {
  await engine.query('drop table if exists log_chunks, log_offsets, log_topics');
  return EmbeddedEventLog.open(engine, { housekeepingMs: 0 });
};

deadLettersContract('embedded', open);

test('a log that does not answer is not waited for', async () => {
  const log = await open();
  await log.ensureTopics(topicSpecs({ partitions: 1, dedupeWindowS: 300 }));
  await log.append(TOPICS.deadLetters, [{ key: 'k', value: 'v' }]);
  log.read = () => new Promise(() => undefined);
  const topic = new DeadLetterTopic(log, { readWithinMs: 20 });
  await expect(topic.page({ filter: {}, limit: 1 })).rejects.toThrow('must answer within 20 ms');
  await expect(topic.at({ partition: 0, offset: 0 })).rejects.toThrow('must answer within 20 ms');
  await log.close();
});
