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
  const arrivals = async () =>
    (await new DemandStore(store.dataSource).page({ pool: 'web', limit: 9 })).map(
      (bucket) => bucket.arrivals,
    );
  expect(await arrivals()).toEqual([7]);
  // Its memory is of no use until it has read the store again.
  await expect(heir.apply(batchOf(0, 7))).rejects.toThrow('must be restored first');
  expect(await heir.restore([at])).toEqual([{ ...at, offset: 1 }]);
  // Both sum the second bucket in memory: the loser's sum must not replace the winner's.
  await heir.apply(batchOf(1, 5));
  await expect(expelled.apply(batchOf(1, 5))).rejects.toThrow(ProjectionMoved);
  expect(await arrivals()).toEqual([12]);
});

test('a batch from elsewhere than where the table stands is refused', async () => {
  const table = newTable();
  await table.restore([at]);
  await expect(table.apply(batchOf(9, 1))).rejects.toThrow('must be restored first');
  table.forget([at]);
  await expect(table.apply(batchOf(2, 1))).rejects.toThrow('must be restored first');
});

test('a pool that comes back after all of it was dropped goes on without a gap; one that begins further on has one', async () => {
  const demand = new DemandStore(store.dataSource);
  await store.dataSource.query('truncate demand');
  await demand.retain(new AbortController().signal);
  expect((await demand.standing()).chains).toEqual([]);
  const outcomes: string[] = [];
  const table = new DemandTable(log, demand, {
    ...observer,
    partialApplied: ({ pool, outcome }) => void outcomes.push(`${pool} ${outcome}`),
  });
  await table.restore([at]);
  await table.apply(batchOf(2, 4));
  const records = batchOf(9, 1).records.map((record) => {
    return { ...record, key: 'api', value: (record.value as string).replace('"web"', '"api"'), offset: 3 };
  });
  await table.apply({ ...at, from: 3, records, endOffset: 4 });
  expect(outcomes).toEqual(['web applied', 'api gap']);
});

test('a record that is no demand is left out and reported; what follows counts', async () => {
  const place = { ...at, partition: 1 };
  const good: DemandPartial = {
    v: 1,
    pool: 'etl',
    bucketS: 1,
    range: { partition: 0, from: -1, to: 1 },
    watermarkMs: 1000,
    buckets: [{ ...emptyBucket(1000), arrivals: 5 }],
  };
  const { serviceMs } = emptyBucket(1000);
  const bucket = { ...emptyBucket(1000), serviceMs: { ...serviceMs, offset: 1e12, bins: [1] } };
  const poison = [
    'no demand',
    null,
    7,
    { v: 2 },
    { ...good, range: undefined },
    { ...good, range: { ...good.range, to: 1e300 } },
    { ...good, buckets: [{ startMs: 1000 }] },
    { ...good, buckets: [bucket] },
    { ...good, buckets: [emptyBucket(1.5)] },
    { ...good, pool: 7 },
    { ...good, pool: 'a\u0000' },
  ];
  const unreadable: number[] = [];
  const partialUnreadable = ({ offset }: { offset: number }) => void unreadable.push(offset);
  const demand = new DemandStore(store.dataSource);
  const table = new DemandTable(log, demand, { ...observer, partialUnreadable });
  expect(await table.restore([place])).toEqual([{ ...place, offset: 0 }]);
  const records = [...poison, good].map((value, offset) => {
    return { key: 'etl', value: JSON.stringify(value), headers: {}, offset, timestampMs: 1 };
  });
  records.push({ key: 'etl', value: '{"half":', headers: {}, offset: records.length, timestampMs: 1 });
  await table.apply({ ...place, from: 0, records, endOffset: records.length });
  expect(unreadable).toEqual([...poison.keys(), records.length - 1]);
  expect(await demand.page({ pool: 'etl', limit: 9 })).toMatchObject([{ arrivals: 5 }]);
});
