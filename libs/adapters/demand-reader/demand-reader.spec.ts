import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { EmbeddedEventLog, topicSpecs, type StoredRecord } from '#adapters/event-log';
import { DemandStore, ForecastStore, openEmbeddedStore, type EmbeddedStore } from '#adapters/store';
import {
  addToSketch,
  demandView,
  emptyBucket,
  trail,
  type DemandPartial,
  type DemandSeries,
} from '#domain/demand';
import { DemandReader } from './demand-reader.js';
import { Downtime } from './downtime.js';

const T0 = 1_800_000_000_000;
const S = 1000;
const TOPIC = 'demand.v1';

let dataDir: string;
let store: EmbeddedStore;
let log: EmbeddedEventLog;
let reader: DemandReader;
let clock: { nowMs: number; uptimeMs: number };
let observed: [string, string][];

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-demand-reader-'));
  store = await openEmbeddedStore({ dataDir });
}, 60_000);
afterAll(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});
beforeEach(async () => {
  await store.engine.query('drop table if exists log_chunks, log_offsets, log_topics');
  await store.engine.query('truncate demand, demand_chains, demand_series, projection_offsets');
  clock = { nowMs: T0, uptimeMs: 0 };
  observed = [];
  log = await EmbeddedEventLog.open(store.engine, { housekeepingMs: 0, nowMs: () => clock.nowMs });
  await log.ensureTopics(topicSpecs({ partitions: 1, dedupeWindowS: 10 }));
  reader = new DemandReader(TOPIC, {
    log,
    store: new DemandStore(store.dataSource),
    settingsOf: () => ({ bucketS: 1, seasonsS: [60] }),
    observe: (outcome, { pool }) => observed.push([outcome, pool]),
    nowMs: () => clock.nowMs,
    uptimeMs: () => clock.uptimeMs,
  });
});
afterEach(() => log.close());

const all = [{ topic: TOPIC, partition: 0 }];

function partialAt(s: number, arrivals: number, range = { partition: 0, from: -1, to: 1 }): DemandPartial {
  const buckets = [{ ...emptyBucket(T0 + s * S), arrivals }];
  return { v: 1, pool: 'web', bucketS: 1, range, watermarkMs: T0, buckets };
}
const appendDemand = (...values: unknown[]) =>
  log.append(
    TOPIC,
    values.map((value) => ({ key: 'web', value: typeof value === 'string' ? value : JSON.stringify(value) })),
  );
async function takeFrom(offset: number): Promise<void> {
  const records: StoredRecord[] = await log.read({ topic: TOPIC, partition: 0, offset, maxRecords: 100 });
  reader.take({ topic: TOPIC, partition: 0, from: offset, records, endOffset: offset + records.length });
}

test('a record that is no demand is left out and reported; what follows counts', async () => {
  const good = partialAt(0, 5);
  const bucket = { ...emptyBucket(T0), serviceMs: { ...emptyBucket(T0).serviceMs, offset: 1e12, bins: [1] } };
  const poison = [
    '{"half":',
    'null',
    '7',
    { v: 2 },
    { ...good, range: undefined },
    { ...good, buckets: [{ startMs: T0 }] },
    { ...good, buckets: [bucket] },
    { ...good, pool: 7 },
    { ...good, pool: 'a\u0000' },
  ];
  await reader.assigned(all);
  await appendDemand(...poison, good);
  await takeFrom(0);
  expect(observed).toEqual([...poison.map(() => ['unreadable', 'web']), ['applied', 'web']]);
  expect(reader.pools()).toEqual(['web']);
  expect(await reader.behindMs()).toBe(0);
});

test('how far behind it is, is unknown until partitions are assigned and after they are revoked', async () => {
  expect(await reader.behindMs()).toBeUndefined();
  await reader.assigned(all);
  expect(await reader.behindMs()).toBe(0);
  await appendDemand(partialAt(0, 5));
  clock.nowMs += 300;
  expect(await reader.behindMs()).toBe(300);
  reader.revoked(all);
  expect(await reader.behindMs()).toBeUndefined();
});

test('events that a clock set back gives no age are not "nothing behind": they are as old as they have been seen', async () => {
  await reader.assigned(all);
  await log.append('executions.v1', [{ key: 'e', value: '{}' }]);
  clock.nowMs -= 3600 * S;
  expect(await reader.behindMs()).toBe(1);
  clock.uptimeMs += 7 * S;
  expect(await reader.behindMs()).toBe(7 * S);
  await appendDemand(partialAt(0, 5));
  await takeFrom(0);
  clock.nowMs += 3600 * S + 20;
  expect(await reader.behindMs()).toBe(20);
  clock.nowMs -= 3600 * S;
  expect(await reader.behindMs()).toBe(1); // seen anew
});

test('it starts from the table: the window of each pool, nothing that a clock left ahead', async () => {
  const at = (s: number, arrivals: number) => ({
    pool: 'web',
    bucket: { ...emptyBucket(T0 + s * S), arrivals },
  });
  const chain = { pool: 'web', partition: 0, nextOffset: 9, backlog: 4, inFlight: 2 };
  const buckets = [at(-500, 1), at(-2, 30), at(-1, 50), at(3600, 70)];
  const step = { topic: TOPIC, partition: 0, from: 0, nextOffset: 3 };
  await new DemandStore(store.dataSource).write({ buckets, chains: [chain], step });
  expect(await reader.assigned(all)).toEqual([{ topic: TOPIC, partition: 0, offset: 3 }]);
  const series = reader.of('web');
  expect([...(series?.buckets.keys() ?? [])]).toEqual([T0 - 2 * S, T0 - S]);
  const view = series === undefined ? undefined : demandView({ countedToMs: T0 }, series);
  expect(view).toMatchObject({ arrivalRatePerS: 40, backlog: 4, inFlight: 2 });
});

test('buckets of another length are no part of what it starts from; the one under way is never whole', async () => {
  const demand = new DemandStore(store.dataSource);
  const at = (s: number) => ({ pool: 'web', bucket: { ...emptyBucket(T0 + s * S), arrivals: 30 } });
  const chain = { pool: 'web', partition: 0, nextOffset: 9, backlog: 4, inFlight: 2 };
  const write = (bucketS: number, fromMs: number, from: number) =>
    demand.write({
      buckets: [at(-20), at(-10)],
      chains: [chain],
      series: [{ pool: 'web', bucketS, fromMs }],
      step: { topic: TOPIC, partition: 0, from, nextOffset: from + 1 },
    });
  const startedFrom = async () => {
    await reader.assigned(all);
    const { buckets, wholeFromMs } = reader.of('web') as DemandSeries;
    return [[...buckets.keys()].map((startMs) => (startMs - T0) / S), (wholeFromMs - T0) / S];
  };
  await write(10, 0, 0);
  clock.nowMs += 300;
  expect(await startedFrom()).toEqual([[], 1]);
  expect(demandView({ countedToMs: T0 }, reader.of('web') as DemandSeries)).toMatchObject({ backlog: 4 });
  await write(1, T0 - 15 * S, 1);
  expect(await startedFrom()).toEqual([[-10], -15]);
});

test('of a pool that nobody wants any more the buckets go; should it come back, it goes on without a gap', async () => {
  await reader.assigned(all);
  const served = partialAt(-1, 5);
  for (const { serviceMs } of served.buckets) addToSketch(serviceMs, 20);
  await appendDemand(served);
  await takeFrom(0);
  const series = reader.of('web') as DemandSeries;
  trail([{ startMs: T0 - S, arrivals: 5 }], series);
  reader.letGo('web');
  reader.letGo('nobody');
  expect([series.buckets.size, series.lastServiceMs.count, series.wholeFromMs]).toEqual([0, 0, T0 + S]);
  expect(series.trailing).toMatchObject({ untilMs: 0, ratePerS: 0, weight: 0 });
  await appendDemand(partialAt(0, 3, { partition: 0, from: 1, to: 2 }));
  await takeFrom(1);
  expect(observed).toEqual([
    ['applied', 'web'],
    ['applied', 'web'],
  ]);
  expect(demandView({ countedToMs: T0 + S }, series)).toMatchObject({ backlog: 8 });
});

test('a pool that is assigned again keeps its trailing mean, which a window of buckets cannot give back', async () => {
  await new DemandStore(store.dataSource).write({
    buckets: [],
    chains: [{ pool: 'web', partition: 0, nextOffset: 1, backlog: 0, inFlight: 0 }],
    step: { topic: TOPIC, partition: 0, from: 0, nextOffset: 0 },
  });
  await reader.assigned(all);
  const series = reader.of('web');
  const past = Array.from({ length: 600 }, (_, i) => ({ startMs: T0 + (i - 600) * S, arrivals: 9 }));
  if (series !== undefined) trail(past, series);
  const mean = structuredClone(series?.trailing);
  for (let round = 0; round < 2; round++) {
    reader.revoked(all);
    expect(reader.pools()).toEqual([]);
    await reader.assigned(all);
    expect(reader.of('web')?.trailing).toEqual(mean);
  }
  await reader.assigned(all); // and without being revoked
  expect(reader.of('web')?.trailing).toEqual(mean);
});

test('a stop is unknown to a pool unless somebody has measured its arrivals meanwhile', async () => {
  await new DemandStore(store.dataSource).write({
    buckets: [{ pool: 'web', bucket: { ...emptyBucket(T0 - 100 * S), arrivals: 5 } }],
    chains: [],
    step: { topic: TOPIC, partition: 0, from: 0, nextOffset: 1 },
  });
  const downtime = new Downtime({
    demandStore: new DemandStore(store.dataSource),
    forecastStore: new ForecastStore(store.dataSource),
    nowMs: () => T0,
  });
  await downtime.end();
  const [meter, depth] = [2 ** 30 + 1, 2 ** 30 + 2];
  const stopped = { fromMs: T0 - 99 * S, toMs: T0 };
  expect(await downtime.of('web', { bucketS: 1 })).toEqual(stopped);
  // A depth tells what waits, and nothing of what came.
  expect(await downtime.of('web', { bucketS: 1, sampledBy: [depth], levelsBy: [depth] })).toEqual(stopped);
  expect(
    await downtime.of('web', { bucketS: 1, sampledBy: [meter, depth], levelsBy: [depth] }),
  ).toBeUndefined();
});
