import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { EmbeddedEventLog, type RecordBatch } from '#adapters/event-log';
import { DemandStore, openEmbeddedStore, ProjectionMoved, type EmbeddedStore } from '#adapters/store';
import type { SampleSpan } from '#adapters/demand-samplers';
import { emptyBucket, sampledPartition, type DemandPartial } from '#domain/demand';
import { DemandTable } from './demand-table.js';
import { SampledDemand } from './sampled-demand.js';

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
const restarts: unknown[] = [];
const observer = {
  partialApplied: () => undefined,
  partialUnreadable: () => undefined,
  seriesRestarted: (series: unknown) => void restarts.push(series),
};
/** As a process has it whose configuration says so. */
const newTable = (bucketS = 1) =>
  new DemandTable(log, new DemandStore(store.dataSource), {
    observer,
    bucketSOf: () => bucketS,
    nowMs: () => 100_000,
  });

function batchOf(from: number, arrivals: number, more: Partial<DemandPartial> = {}): RecordBatch {
  const bucket = { ...emptyBucket(1000), arrivals };
  const range = { partition: 0, from: from === 0 ? -1 : from, to: from + 1 };
  const partial: DemandPartial = {
    v: 1,
    pool: 'web',
    bucketS: 1,
    range,
    watermarkMs: 1000,
    buckets: [bucket],
    ...more,
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
    (await new DemandStore(store.dataSource).page({ pool: 'web', bucketS: 1, limit: 9 })).map(
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

test('a pool whose buckets get another length begins anew: nothing is lost, nothing is mixed', async () => {
  const demand = new DemandStore(store.dataSource);
  const pool = 'longer';
  const bucket = (startMs: number, arrivals: number) => ({ ...emptyBucket(startMs), arrivals });
  let to = -1;
  const [place] = await newTable().restore([at]);
  let offset = place?.offset as number;
  const apply = async (table: DemandTable, bucketS: number, ...buckets: DemandPartial['buckets']) => {
    const range = { partition: 0, from: to, to: ++to };
    await table.apply(batchOf(offset++, 0, { pool, bucketS, range, buckets }));
  };
  const arrivalsOf = async (bucketS: number) =>
    (await demand.arrivalsSince({ pool, bucketS, fromMs: 0 })).map(({ startMs, arrivals }) => [
      startMs,
      arrivals,
    ]);

  const before = newTable(1);
  await before.restore([at]);
  await apply(before, 1, bucket(30_000, 3), bucket(31_000, 4));
  // Another process has got the new configuration first: it decides nothing here.
  await apply(before, 10, bucket(30_000, 1));
  expect(restarts).toEqual([]);
  expect(await arrivalsOf(1)).toEqual([
    [30_000, 4],
    [31_000, 4],
  ]);

  const after = newTable(10);
  await after.restore([at]);
  await apply(after, 1, bucket(32_000, 5)); // was on its way
  await apply(after, 10, bucket(30_000, 6), bucket(40_000, 7));
  expect(restarts).toEqual([{ pool, bucketS: 10, bucketSBefore: 1, fromMs: 40_000 }]);
  expect(await arrivalsOf(10)).toEqual([[40_000, 7]]);
  expect(await arrivalsOf(1)).toEqual([]);
  expect(await demand.page({ pool, bucketS: 10, limit: 9 })).toMatchObject([{ startMs: 40_000 }]);
  const [{ total }] = await store.dataSource.query<[{ total: number }]>(
    'select sum(arrivals) as total from demand where pool = $1',
    [pool],
  );
  expect(total).toBe(3 + 4 + 1 + 5 + 6 + 7);

  // A restart goes on; a row that a wrong clock has left far ahead does not keep the next length from beginning.
  const again = newTable(10);
  await again.restore([at]);
  await apply(again, 10, bucket(50_000, 8), bucket(9_000_000, 9));
  expect(restarts).toHaveLength(1);
  const shorter = newTable(5);
  await shorter.restore([at]);
  await apply(shorter, 5, bucket(55_000, 2), bucket(60_000, 1));
  expect(restarts.at(-1)).toEqual({ pool, bucketS: 5, bucketSBefore: 10, fromMs: 60_000 });
  expect((await arrivalsOf(5))[0]).toEqual([60_000, 1]);
});

test('what is measured in buckets of another length is asked for from a whole one on', async () => {
  const table = newTable();
  const [place] = await table.restore([at]);
  const partition = sampledPartition('meter');
  const range = { partition, from: -1, to: 50_000 };
  const bucket = { ...emptyBucket(49_000), arrivals: 1 };
  await table.apply(batchOf(place?.offset as number, 0, { pool: 'measured', range, buckets: [bucket] }));
  const asked: SampleSpan[] = [];
  const sampled = new SampledDemand({
    log,
    table,
    pools: [
      {
        source: 'meter',
        pool: 'measured',
        delayS: 0,
        sampler: { sample: async (span) => (asked.push(span), []) },
      },
    ],
    bucketSOf: () => 30,
    nowMs: () => 125_000,
    observer: { sampled: () => undefined, sampleFailed: ({ error }) => expect(error).toBeUndefined() },
  });
  await sampled.run(new AbortController().signal);
  expect(asked).toEqual([{ fromMs: 60_000, toMs: 120_000, bucketS: 30 }]);
});
