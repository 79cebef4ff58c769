import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { EmbeddedEventLog, type RecordBatch } from '#adapters/event-log';
import { DemandStore, openEmbeddedStore, ProjectionMoved, type EmbeddedStore } from '#adapters/store';
import type { SampleSpan } from '#adapters/demand-samplers';
import { emptyBucket, sampledPartition, type DemandPartial } from '#domain/demand';
import { DemandTable } from './demand-table.js';
import type { IngestObserver } from './ingest-observer.js';
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
type Observer = Pick<IngestObserver, 'partialApplied' | 'partialUnreadable' | 'seriesRestarted'>;
const observer: Observer = {
  partialApplied: () => undefined,
  partialUnreadable: () => undefined,
  seriesRestarted: (series) => void restarts.push(series),
};
/** As a process has it whose configuration says so. */
const newTable = ({ bucketS = 1, observed = {} }: { bucketS?: number; observed?: Partial<Observer> } = {}) =>
  new DemandTable(log, new DemandStore(store.dataSource), {
    observer: { ...observer, ...observed },
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

test('a pool that comes back after all of it was dropped goes on without a gap; one that begins further on has one', async () => {
  const demand = new DemandStore(store.dataSource);
  await store.dataSource.query('truncate demand');
  await demand.retain(new AbortController().signal);
  expect((await demand.standing()).chains).toEqual([]);
  const outcomes: string[] = [];
  const partialApplied: Observer['partialApplied'] = ({ pool, outcome }) =>
    void outcomes.push(`${pool} ${outcome}`);
  const table = newTable({ observed: { partialApplied } });
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
  const table = newTable({ observed: { partialUnreadable } });
  expect(await table.restore([place])).toEqual([{ ...place, offset: 0 }]);
  const records = [...poison, good].map((value, offset) => {
    return { key: 'etl', value: JSON.stringify(value), headers: {}, offset, timestampMs: 1 };
  });
  records.push({ key: 'etl', value: '{"half":', headers: {}, offset: records.length, timestampMs: 1 });
  await table.apply({ ...place, from: 0, records, endOffset: records.length });
  expect(unreadable).toEqual([...poison.keys(), records.length - 1]);
  expect(await demand.page({ pool: 'etl', bucketS: 1, limit: 9 })).toMatchObject([{ arrivals: 5 }]);
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
  const arrivalsOf = async (bucketS: number) => {
    const page = await demand.arrivalsPage({ pool, bucketS, fromMs: 0, toMs: 1e9, limit: 9 });
    return page.map(({ startMs, arrivals }) => [startMs, arrivals]);
  };

  const before = newTable();
  await before.restore([at]);
  await apply(before, 1, bucket(30_000, 3), bucket(31_000, 4));
  // Another process has got the new configuration first: it decides nothing here.
  await apply(before, 10, bucket(30_000, 1));
  expect(restarts).toEqual([]);
  expect(await arrivalsOf(1)).toEqual([
    [30_000, 4],
    [31_000, 4],
  ]);

  const after = newTable({ bucketS: 10 });
  await after.restore([at]);
  await apply(after, 1, bucket(32_000, 5)); // was on its way
  await apply(after, 10, bucket(30_000, 6), bucket(40_000, 7));
  expect(restarts).toEqual([{ pool, bucketS: 10, bucketSBefore: 1, fromMs: 40_000 }]);
  await apply(after, 1, bucket(43_000, 2), bucket(49_000, 1)); // from a process that goes on as before
  expect(restarts).toHaveLength(1);
  expect(await arrivalsOf(10)).toEqual([[40_000, 10]]);
  expect(await arrivalsOf(1)).toEqual([]);
  expect(await demand.page({ pool, bucketS: 10, limit: 9 })).toMatchObject([{ startMs: 40_000 }]);
  const [{ total }] = await store.dataSource.query<[{ total: number }]>(
    'select sum(arrivals) as total from demand where pool = $1',
    [pool],
  );
  expect(total).toBe(3 + 4 + 1 + 5 + 6 + 10);

  // A restart goes on; a row that a wrong clock has left far ahead does not keep the next length from beginning.
  const again = newTable({ bucketS: 10 });
  await again.restore([at]);
  await apply(again, 10, bucket(50_000, 8), bucket(9_000_000, 9));
  expect(restarts).toHaveLength(1);
  const shorter = newTable({ bucketS: 5 });
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
