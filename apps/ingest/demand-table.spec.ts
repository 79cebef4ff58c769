import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { EmbeddedEventLog, type RecordBatch } from '#adapters/event-log';
import { DemandStore, openEmbeddedStore, ProjectionMoved, type EmbeddedStore } from '#adapters/store';
import { emptyBucket, type DemandPartial } from '#domain/demand';
import { DemandTable } from './demand-table.js';

let dataDir: string;
let store: EmbeddedStore;
let log: EmbeddedEventLog;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-table-'));
  store = await openEmbeddedStore({ dataDir });
  log = await EmbeddedEventLog.open(store.engine, { housekeepingMs: 0 });
  await log.ensureTopics([{ name: 'demand.v1', partitions: 1, retentionMs: 1e9, compacted: false }]);
}, 60_000);
afterAll(async () => {
  await log.close();
  await store.close();
  rmSync(dataDir, { recursive: true });
});

const at = { topic: 'demand.v1', partition: 0 };
const observer = { partialApplied: () => undefined, partialUnreadable: () => undefined };
const newTable = () => new DemandTable(log, new DemandStore(store.dataSource), observer);

function batchOf(from: number, arrivals: number): RecordBatch {
  const bucket = { ...emptyBucket(1000), arrivals };
  const range = { partition: 0, from: from === 0 ? -1 : from, to: from + 1 };
  const partial: DemandPartial = {
    v: 1,
    pool: 'web',
    bucketS: 1,
    range,
    watermarkMs: 1000,
    buckets: [bucket],
  };
  const value = JSON.stringify(partial);
  const record = { key: 'web', value, headers: {}, offset: from, timestampMs: 1 };
  return { ...at, from, records: [record], endOffset: from + 1 };
}

test('a batch that an expelled reader still writes counts once, and its heir learns of it', async () => {
  const [expelled, heir] = [newTable(), newTable()];
  await expelled.restore([at]);
  await heir.restore([at]);
  await expelled.apply(batchOf(0, 7));
  await expect(heir.apply(batchOf(0, 7))).rejects.toThrow(ProjectionMoved);
  const demand = new DemandStore(store.dataSource);
  expect(await demand.totalArrivals('web')).toBe(7);
  // Its memory is of no use until it has read the store again.
  await expect(heir.apply(batchOf(0, 7))).rejects.toThrow('must be restored first');
  expect(await heir.restore([at])).toEqual([{ ...at, offset: 1 }]);
  // Both sum the second bucket in memory: the loser's sum must not replace the winner's.
  await heir.apply(batchOf(1, 5));
  await expect(expelled.apply(batchOf(1, 5))).rejects.toThrow(ProjectionMoved);
  expect(await demand.totalArrivals('web')).toBe(12);
});

test('a batch from elsewhere than where the table stands is refused', async () => {
  const table = newTable();
  await table.restore([at]);
  await expect(table.apply(batchOf(9, 1))).rejects.toThrow('must be restored first');
  table.forget([at]);
  await expect(table.apply(batchOf(2, 1))).rejects.toThrow('must be restored first');
});
