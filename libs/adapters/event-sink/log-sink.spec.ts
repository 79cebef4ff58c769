import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { EmbeddedEventLog, type EventLog, type StoredRecord } from '#adapters/event-log';
import { EmbeddedPostgres } from '#adapters/store';
import { checkExecutionEvent } from '#domain/events';
import { eventSinkContract, events } from './event-sink.contract.js';
import { LogSink } from './log-sink.js';

const PARTITIONS = 2;
let engine: EmbeddedPostgres;
let dataDir: string;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-sink-'));
  engine = await EmbeddedPostgres.open({ dataDir });
}, 30_000);
afterAll(async () => {
  await engine.close();
  rmSync(dataDir, { recursive: true });
});

async function openLog(): Promise<EmbeddedEventLog> {
  await engine.query('drop table if exists log_chunks, log_offsets, log_topics');
  const log = await EmbeddedEventLog.open(engine, { housekeepingMs: 0 });
  await log.ensureTopics([
    { name: 'executions.v1', partitions: PARTITIONS, retentionMs: 3_600_000, compacted: false },
  ]);
  return log;
}

async function readAll(log: EventLog): Promise<StoredRecord[]> {
  const read = (partition: number) =>
    log.read({ topic: 'executions.v1', partition, offset: 0, maxRecords: 10_000 });
  return (await Promise.all([...Array(PARTITIONS).keys()].map(read))).flat();
}

eventSinkContract('event log', async () => {
  const log = await openLog();
  let failing = false;
  const append: EventLog['append'] = (topic, records) =>
    failing ? Promise.reject(new Error('no room')) : log.append(topic, records);
  return {
    open: (observer, limits) => new LogSink({ log: { append }, observer, limits }),
    fail: (now) => void (failing = now),
    received: async () =>
      (await readAll(log)).map(({ value }) => (JSON.parse(value as string) as { id: string }).id),
    stop: () => log.close(),
  };
});

test('the key of a record is the execution, its value the event', async () => {
  const log = await openLog();
  const silent = { acknowledged: () => undefined, dropped: () => undefined, retrying: () => undefined };
  const sink = new LogSink({ log, observer: silent });
  sink.emit(events(1)[0]!);
  await sink.close(3000);
  const [record] = await readAll(log);
  expect(record?.key).toBe('execution of id00000');
  expect(checkExecutionEvent(JSON.parse(record?.value as string))).toMatchObject({ ok: true });
  await log.close();
});
