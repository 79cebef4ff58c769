import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { EmbeddedEventLog, topicSpecs } from '#adapters/event-log';
import { DemandStore, openEmbeddedStore, type EmbeddedStore } from '#adapters/store';
import { checkStoreFollowsLog, StoreOfAnotherLog } from './store-and-log.js';

let dataDir: string;
let store: EmbeddedStore;
let log: EmbeddedEventLog;
let demand: DemandStore;
beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-places-'));
  store = await openEmbeddedStore({ dataDir });
  log = await EmbeddedEventLog.open(store.engine, { housekeepingMs: 0 });
  await log.ensureTopics(topicSpecs({ partitions: 2, dedupeWindowS: 10 }));
  demand = new DemandStore(store.dataSource);
}, 60_000);
afterAll(async () => {
  await log.close();
  await store.close();
  rmSync(dataDir, { recursive: true });
});

const check = () => checkStoreFollowsLog(store.dataSource, log);
const appended = (topic: string, count: number) =>
  log.append(
    topic,
    Array.from({ length: count }, () => ({ key: 'web', value: '{}', partition: 1 })),
  );
const chain = { pool: 'web', partition: 1, backlog: 0, inFlight: 0 };

test('tables that stand at or before the end of the log belong to it', async () => {
  await expect(check()).resolves.toBeUndefined();
  await appended('demand.v1', 3);
  const step = { topic: 'demand.v1', partition: 1, from: 0, nextOffset: 3 };
  await demand.write({ buckets: [], chains: [], step });
  await expect(check()).resolves.toBeUndefined();
});

test('tables that are ahead of it were filled from another one', async () => {
  await demand.write({
    buckets: [],
    chains: [{ ...chain, nextOffset: 7 }],
    step: { topic: 'demand.v1', partition: 1, from: 3, nextOffset: 4 },
  });
  await expect(check()).rejects.toThrow(StoreOfAnotherLog);
  await expect(check()).rejects.toThrow(/this event log, includes demand\.v1\[1\] up to 4 of 3$/);
  await appended('demand.v1', 1);
  await expect(check()).rejects.toThrow(/includes executions\.v1\[1\] up to 7 of 0$/);
  await appended('executions.v1', 7);
  await expect(check()).resolves.toBeUndefined();
});

test('topics that are no more, and partitions that are fewer, are nobody’s concern', async () => {
  const old = { topic: 'demand.v0', partition: 0, from: 0, nextOffset: 9 };
  await demand.write({ buckets: [], chains: [], step: old });
  await demand.write({ buckets: [], chains: [], step: { ...old, topic: 'demand.v1', partition: 9 } });
  await expect(check()).resolves.toBeUndefined();
});

describe('the name of the log that they were filled from', () => {
  const kept = () => store.dataSource.query<object[]>('select * from event_logs');
  /** As if there were another data directory; its topics are as long. */
  const anotherLog = () => store.engine.query('update log_identity set id = gen_random_uuid()');

  test('is kept beside the places, also of tables that the version before has filled', async () => {
    await store.dataSource.query('delete from event_logs');
    await check();
    expect(await kept()).toEqual([{ identity: await log.identity() }]);
    await expect(check()).resolves.toBeUndefined();
  });

  test('tells a longer log from theirs, until they include nothing of it any more', async () => {
    const before = await log.identity();
    await anotherLog();
    const now = await log.identity();
    const refused = `store: must have been filled from this event log, ${now}, got tables of ${before}`;
    await expect(check()).rejects.toThrow(refused);
    expect(await kept()).toEqual([{ identity: before }]);
    await store.dataSource.query('truncate projection_offsets, demand_chains');
    await check();
    expect(await kept()).toEqual([{ identity: now }]);
  });
});
