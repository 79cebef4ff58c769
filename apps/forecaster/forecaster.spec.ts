import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { NestFactory } from '@nestjs/core';
import type { INestMicroservice } from '@nestjs/common';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { DemandReader } from '#adapters/demand-reader';
import { EmbeddedEventLog, EventLogServer, HandlerErrors, topicSpecs } from '#adapters/event-log';
import {
  DemandStore,
  ForecastStore,
  openEmbeddedStore,
  PolicyStore,
  type EmbeddedStore,
} from '#adapters/store';
import {
  emptyBucket,
  historyEnd,
  historyPartition,
  sampledPartial,
  sampledPartition,
  type DemandPartial,
} from '#domain/demand';
import type { Forecast } from '#domain/forecasting';
import { policySchema } from '#domain/scaling';
import { ForecastThread } from './forecast-thread.js';
import { horizonsOf } from './forecasted-pool.js';
import { ForecasterModule } from './forecaster.module.js';
import { PoolsWithPolicy } from './pools-with-policy.js';

const SEASON_S = 60;
const START_MS = 1_800_000_000_000;
const METER = sampledPartition('meter');

let dataDir: string;
let store: EmbeddedStore;
let log: EmbeddedEventLog;
let app: INestMicroservice;
let nowMs: number;
let made: Forecast[];
let gaps: number;
let failures: string[];
let unreadable: string[];
let changed: () => void;
let toOfLast: number;
let failedPools: string[];
const leadTimeS = new Map<string, number>();
const seasonS = new Map<string, number>();

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-forecaster-'));
  store = await openEmbeddedStore({ dataDir });
}, 30_000);
afterAll(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});

beforeEach(async () => {
  unreadable = [];
  await store.engine.query('drop table if exists log_chunks, log_offsets, log_topics');
  await store.engine.query(
    'truncate policies, demand, demand_chains, demand_series, forecasts, projection_offsets',
  );
  for (const pool of ['etl', 'measured', 'far', 'long']) await givePolicy(pool);
  log = await EmbeddedEventLog.open(store.engine, { housekeepingMs: 0 });
  await log.ensureTopics(topicSpecs({ partitions: 2, dedupeWindowS: 10 }));
  [nowMs, made, gaps, failures, changed, toOfLast] = [START_MS, [], 0, [], () => undefined, -1];
  failedPools = [];
});
afterEach(async () => {
  await app.close();
  await log.close();
});

async function start(): Promise<void> {
  const module = ForecasterModule.register({
    log,
    demandStore: new DemandStore(store.dataSource),
    forecastStore: new ForecastStore(store.dataSource),
    policyStore: new PolicyStore(store.dataSource),
    settingsOf: (pool) => ({
      bucketS: 1,
      seasonsS: [seasonS.get(pool) ?? SEASON_S],
      settleMs: 0,
      latenessS: 2,
      leadTimeS: leadTimeS.get(pool) ?? 2,
      sampledBy: pool === 'measured' ? [METER] : [],
    }),
    observer: {
      forecast: (forecast) => (made.push(forecast), changed()),
      stepped: () => undefined,
      stepFailed: ({ pool }) => void failedPools.push(pool),
      demandRead: (outcome) => void (gaps += outcome === 'gap' ? 1 : 0),
      recordUnreadable: ({ topic, offset }) => void unreadable.push(`${topic}@${offset}`),
      ran: () => changed(),
      failed: ({ error }) => failures.push(error.message),
    },
    nowMs: () => nowMs,
  });
  const server = new EventLogServer(log, {
    groupFailed: ({ error }) => failures.push(error.message),
    batchHandled: () => changed(),
    recordsLost: () => undefined,
  });
  app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    strategy: server,
    logger: false,
  });
  app.useGlobalFilters(new HandlerErrors());
  await app.listen();
}

const givePolicy = (pool: string) =>
  new PolicyStore(store.dataSource).create({ pool, policy: policySchema.parse({}), nowMs: START_MS });

/** Waits for a state, looked at whenever something has happened. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const met = Promise.withResolvers<void>();
  changed = () => void Promise.resolve(condition()).then((yes) => yes && met.resolve(), met.reject);
  changed();
  await met.promise;
}

/** Demand of a pool as ingest writes it, for the buckets from `second` on. */
async function demandFrom(second: number, arrivals: number[], pool = 'etl'): Promise<void> {
  const buckets = arrivals.map((count, i) => ({
    ...emptyBucket(START_MS + (second + i) * 1000),
    arrivals: count,
  }));
  const range = { partition: 0, from: toOfLast, to: toOfLast + 10 };
  const partial: DemandPartial = { v: 1, pool, bucketS: 1, range, watermarkMs: nowMs, buckets };
  if (pool === 'etl') toOfLast = range.to;
  await log.append('demand.v1', [{ key: pool, value: JSON.stringify(partial) }]);
}

/** A forecast that a program made which has ended since. */
async function forecastBefore(pool: string, originMs: number): Promise<void> {
  const horizons = [{ horizonS: 1, levels: [0.5], values: [50] }];
  const provenance = { weights: { last: 1 }, historyBuckets: 1, state: 'warm' as const };
  await new ForecastStore(store.dataSource).write({
    made: [{ v: 1, pool, originMs, bucketS: 1, horizons, provenance }],
    step: { topic: 'forecasts.v1', partition: 0, from: 0, nextOffset: 0 },
  });
}

const latest = () => made.at(-1);

test('a pool that is measured is forecast as far as its measurements go: what is not told is not empty', async () => {
  await start();
  let to: number | undefined;
  const tell = async (fromS: number, toS: number) => {
    const samples = Array.from({ length: toS - fromS }, (_, i) => ({
      startMs: START_MS + (fromS + i) * 1000,
      arrivals: 5,
    }));
    const span = { pool: 'measured', partition: METER, bucketS: 1, samples, toMs: START_MS + toS * 1000 };
    const chain = to === undefined ? undefined : { to, backlog: 0, inFlight: 0 };
    const { partial } = sampledPartial({ ...span, fraction: 0 }, chain);
    to = partial.range.to;
    await log.append('demand.v1', [{ key: 'measured', value: JSON.stringify(partial) }]);
  };
  await tell(0, 3);
  nowMs = START_MS + 9_500;
  await until(() => latest()?.originMs === START_MS + 2_000);
  await tell(3, 6);
  await until(() => latest()?.originMs === START_MS + 5_000);
  expect(made.map(({ originMs }) => originMs - START_MS)).toEqual([2_000, 3_000, 4_000, 5_000]);
  expect(gaps).toBe(0);
});

test('a past that is brought in is learned from at once', async () => {
  await start();
  await demandFrom(0, [5, 6, 7]);
  nowMs = START_MS + 3_500;
  await until(() => latest()?.originMs === START_MS + 2_000);
  expect(latest()?.provenance.historyBuckets).toBe(3);
  // As an import leaves it: in the table first, then the word that it is there.
  const rows = Array.from({ length: 100 }, (_, i) => ({
    pool: 'etl',
    bucket: { ...emptyBucket(START_MS - (100 - i) * 1000), arrivals: 5 },
  }));
  const at = { topic: 'demand.v1', partition: log.partitionOf({ topic: 'demand.v1', key: 'etl' }) };
  await new DemandStore(store.dataSource).write({
    buckets: rows,
    chains: [],
    step: { ...at, from: 0, nextOffset: 1 },
  });
  const end = historyEnd({ pool: 'etl', bucketS: 1, partition: historyPartition('csv'), toMs: START_MS });
  await log.append('demand.v1', [{ key: 'etl', value: JSON.stringify(end) }]);
  await until(() => latest()?.provenance.historyBuckets === 103);
});

test('a closed bucket makes one forecast, which is published and kept', async () => {
  await start();
  await demandFrom(0, [5, 6, 7]);
  nowMs = START_MS + 3_500;
  await until(() => latest()?.originMs === START_MS + 2_000);
  expect(latest()?.horizons.map(({ horizonS }) => horizonS)).toEqual([1, 2, 3]);
  const kept = new ForecastStore(store.dataSource);
  await until(async () => (await kept.latest())[0]?.originMs === START_MS + 2_000);
  expect(await kept.latest()).toEqual([latest()]);
  expect({ failures, gaps }).toEqual({ failures: [], gaps: 0 });
});

test('a bucket without events is an empty bucket, not a missing one', async () => {
  await start();
  await demandFrom(0, [5]);
  nowMs = START_MS + 1_000;
  await until(() => latest()?.originMs === START_MS);
  nowMs = START_MS + 6_000;
  await until(() => latest()?.originMs === START_MS + 5_000);
  expect(latest()?.provenance.historyBuckets).toBe(6);
});

test('buckets that closed while nobody looked have a forecast each, a few of them; the rest is history', async () => {
  await start();
  await demandFrom(0, [5]);
  const secondsOf = () => made.map(({ originMs }) => (originMs - START_MS) / 1000);
  for (const second of [1, 4, 24]) {
    nowMs = START_MS + second * 1_000;
    await until(() => latest()?.originMs === nowMs - 1_000);
  }
  expect(secondsOf()).toEqual([0, 1, 2, 3, 19, 20, 21, 22, 23]);
  expect(latest()?.provenance.historyBuckets).toBe(24);
  expect(failedPools).toEqual([]);
});

test('a start learns from the table what was before, and goes on from the topic', async () => {
  const seasonal = Array.from({ length: 3 * SEASON_S }, (_, second) => (second % SEASON_S < 30 ? 4 : 90));
  const buckets = seasonal.map((arrivals, i) => ({
    pool: 'etl',
    bucket: { ...emptyBucket(START_MS + i * 1000), arrivals },
  }));
  const chain = { pool: 'etl', partition: 0, nextOffset: 100, backlog: 0, inFlight: 0 };
  const partition = log.partitionOf({ topic: 'demand.v1', key: 'etl' });
  const step = { topic: 'demand.v1', partition, from: 0, nextOffset: 0 };
  await new DemandStore(store.dataSource).write({ buckets, chains: [chain], step });
  toOfLast = 100;
  nowMs = START_MS + 3 * SEASON_S * 1000;
  await start();
  await until(() => latest()?.provenance.historyBuckets === 3 * SEASON_S);
  expect(latest()?.provenance.state).toBe('warm');
  await demandFrom(
    3 * SEASON_S,
    Array.from({ length: 29 }, () => 4),
  );
  nowMs = START_MS + (3 * SEASON_S + 29) * 1000;
  await until(() => latest()?.originMs === nowMs - 1_000);
  // The last quiet bucket: three seconds on, the season says, comes the rush.
  const [next, , third] =
    latest()?.horizons.map(({ values, levels }) => values[levels.indexOf(0.5)] as number) ?? [];
  expect(next).toBeLessThan(20);
  expect(third).toBeGreaterThan(60);
});

test('a past in buckets of another length is not learned from, nor the bucket under way', async () => {
  const buckets = Array.from({ length: 30 }, (_, i) => ({
    pool: 'etl',
    bucket: { ...emptyBucket(START_MS - (i + 1) * 10_000), arrivals: 900 },
  }));
  const partition = log.partitionOf({ topic: 'demand.v1', key: 'etl' });
  await new DemandStore(store.dataSource).write({
    buckets,
    chains: [{ pool: 'etl', partition: 0, nextOffset: 100, backlog: 0, inFlight: 0 }],
    series: [{ pool: 'etl', bucketS: 10, fromMs: 0 }],
    step: { topic: 'demand.v1', partition, from: 0, nextOffset: 0 },
  });
  toOfLast = 100;
  await start();
  await demandFrom(0, [1, 6, 7]);
  nowMs = START_MS + 3_500;
  await until(() => latest()?.originMs === START_MS + 2_000);
  expect(latest()?.provenance.historyBuckets).toBe(2);
});

test('a past of two long seasons is learned in pieces, and pools that are known do not wait for it', async () => {
  const LONG_S = 45_000;
  seasonS.set('long', LONG_S);
  // A rush of a minute, once a season; the third one begins when the past ends.
  const rushes = [2, 1].flatMap((seasons) =>
    Array.from({ length: 60 }, (_, i) => START_MS + (4 + i - seasons * LONG_S) * 1000),
  );
  const at = { partition: 0, nextOffset: 9, backlog: 0, inFlight: 0 };
  await new DemandStore(store.dataSource).write({
    buckets: [
      ...rushes.map((startMs) => ({ pool: 'long', bucket: { ...emptyBucket(startMs), arrivals: 90 } })),
      { pool: 'etl', bucket: { ...emptyBucket(START_MS), arrivals: 5 } },
    ],
    chains: [
      { pool: 'long', ...at },
      { pool: 'etl', ...at },
    ],
    step: { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 0 },
  });
  await forecastBefore('long', START_MS + 2_000);
  nowMs = START_MS + 3_000;
  await start();
  await until(() => made.some(({ pool }) => pool === 'etl'));
  nowMs = START_MS + 4_000;
  await until(() => made.some(({ pool }) => pool === 'long'));
  const ofEtl = made.filter(({ pool }) => pool === 'etl').map(({ originMs }) => originMs - START_MS);
  expect(ofEtl).toEqual([2_000, 3_000]);
  expect(latest()).toMatchObject({ pool: 'long', originMs: START_MS + 3_000 });
  expect(latest()?.provenance.historyBuckets).toBe(2 * LONG_S);
  // Nothing arrived for almost a season: only the season knows what comes.
  const [next] = latest()?.horizons ?? [];
  expect(next?.values[next.levels.indexOf(0.5)]).toBeGreaterThan(20);
}, 60_000);

test.each([
  ['nobody forecast', undefined, 121],
  ['there was a forecast of nothing', START_MS - 21_000, 161],
])('what was not counted before a start is unknown, not empty: %s', async (_, lastOriginMs, known) => {
  const buckets = Array.from({ length: 120 }, (__, i) => ({
    pool: 'etl',
    bucket: { ...emptyBucket(START_MS + (i - 180) * 1000), arrivals: 50 },
  }));
  const chain = { pool: 'etl', partition: 0, nextOffset: 100, backlog: 0, inFlight: 0 };
  const partition = log.partitionOf({ topic: 'demand.v1', key: 'etl' });
  await new DemandStore(store.dataSource).write({
    buckets,
    chains: [chain],
    step: { topic: 'demand.v1', partition, from: 0, nextOffset: 0 },
  });
  if (lastOriginMs !== undefined) await forecastBefore('etl', lastOriginMs);
  toOfLast = 100;
  await start();
  await until(() => app.get(ForecastThread).knows('etl'));
  await demandFrom(0, [50]);
  nowMs = START_MS + 1_000;
  await until(() => latest()?.originMs === START_MS);
  expect(latest()?.provenance.historyBuckets).toBe(known);
});

test('a record that is no forecast is left out of the table, and stops nothing', async () => {
  const key = 'etl';
  await log.append('forecasts.v1', [
    { key, value: 'no json' },
    { key, value: '{"v":2}' },
    { key, value: null },
  ]);
  await start();
  await demandFrom(0, [5, 5]);
  nowMs = START_MS + 2_000;
  const kept = new ForecastStore(store.dataSource);
  await until(async () => (await kept.latest())[0]?.originMs === START_MS + 1_000);
  expect(unreadable).toEqual(['forecasts.v1@0', 'forecasts.v1@1']);
  expect(failures).toEqual([]);
});

test('a late event corrects what later forecasts see', async () => {
  await start();
  await demandFrom(0, [5, 5]);
  nowMs = START_MS + 2_000;
  await until(() => latest()?.originMs === START_MS + 1_000);
  const before = latest();
  await demandFrom(1, [400]);
  await demandFrom(2, [5]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.originMs === START_MS + 2_000);
  const highest = (forecast: Forecast | undefined) => forecast?.horizons[0]?.values.at(-1) as number;
  // Without the correction the third quiet bucket would lower it.
  expect(highest(latest())).toBeGreaterThan(1.3 * highest(before));
});

test('a thread that breaks is replaced, and the pools are opened again with their history', async () => {
  await start();
  await demandFrom(0, [5, 6, 7]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.originMs === START_MS + 2_000);
  const thread = app.get(ForecastThread);
  const settings = { pool: 'other', bucketS: 1, seasonsS: [SEASON_S], horizonsS: [1] };
  const broken = thread.step([{ settings, closed: [{ startMs: START_MS, arrivals: 1 }] }]);
  void (Reflect.get(thread, 'thread') as Worker).terminate();
  await broken.catch(() => undefined); // answered before it ended, or not
  await until(() => !thread.knows('etl'));
  await demandFrom(3, [8]);
  nowMs = START_MS + 4_000;
  await until(() => latest()?.originMs === START_MS + 3_000);
  expect(latest()?.provenance.historyBuckets).toBe(4);
});

test('a pool whose step fails is reported and opened again at its next bucket; the others have their forecast', async () => {
  await start();
  await demandFrom(0, [5, 6, 7]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.originMs === START_MS + 2_000);
  const thread = app.get(ForecastThread);
  const settings = { pool: 'etl', bucketS: 1, seasonsS: [SEASON_S], horizonsS: [1] };
  const closed = [{ startMs: START_MS, arrivals: 1 }];
  const result = await thread.step([
    // Half a bucket on: the domain refuses it, which no input of ours may provoke.
    { settings, closed: [{ startMs: START_MS + 3_500, arrivals: 1 }] },
    { settings: { ...settings, pool: 'web' }, closed },
    {
      settings: { ...settings, pool: 'far', horizonsS: horizonsOf({ bucketS: 1, leadTimeS: 14_400 }) },
      closed,
    },
  ]);
  expect(result.failed.map(({ pool }) => pool)).toEqual(['etl', 'far']);
  expect(result.forecasts.map(({ pool }) => pool)).toEqual(['web']);
  expect([thread.knows('etl'), thread.knows('web')]).toEqual([false, true]);
  await demandFrom(3, [8]);
  nowMs = START_MS + 4_000;
  await until(() => latest()?.originMs === START_MS + 3_000);
  expect(latest()?.provenance.historyBuckets).toBe(4);
});

test('a pool that cannot be forecast does not stop the others, and is tried once a bucket', async () => {
  leadTimeS.set('far', 14_400);
  await start();
  await demandFrom(0, [5, 6, 7], 'far');
  await demandFrom(0, [5, 6, 7]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.originMs === START_MS + 2_000 && failedPools.length > 0);
  nowMs = START_MS + 4_000;
  await until(() => latest()?.originMs === START_MS + 3_000 && failedPools.length > 1);
  expect(failures).toEqual([]);
});

test('pools without history do not keep the others waiting', async () => {
  const idle = Array.from({ length: 450 }, (_, i) => `idle-${i}`);
  const chains = [...idle, 'etl'].map((pool) => ({
    pool,
    partition: 0,
    nextOffset: 9,
    backlog: 0,
    inFlight: 0,
  }));
  const buckets = [{ pool: 'etl', bucket: { ...emptyBucket(START_MS - 2_000), arrivals: 4 } }];
  const step = { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 0 };
  await new DemandStore(store.dataSource).write({ buckets, chains, step });
  for (const pool of idle) await givePolicy(pool);
  await start();
  await until(() => latest()?.originMs === START_MS - 1_000);
  expect(latest()?.pool).toBe('etl');
});

test('a pool that loses its policy is forecast no more; with one it starts from its history', async () => {
  await start();
  await demandFrom(0, [5, 6, 7]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.originMs === START_MS + 2_000);
  const seen = { version: 1, updatedAtMs: START_MS };
  await new PolicyStore(store.dataSource).delete({ pool: 'etl', seen });
  await app.get(PoolsWithPolicy).refresh();
  await until(() => !app.get(ForecastThread).knows('etl'));
  expect(app.get(DemandReader).of('etl')?.buckets.size).toBe(0);
  await new DemandStore(store.dataSource).write({
    buckets: [5, 6, 7, 8].map((arrivals, i) => {
      return { pool: 'etl', bucket: { ...emptyBucket(START_MS + i * 1000), arrivals } };
    }),
    chains: [],
    step: { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 1 },
  });
  await demandFrom(3, [8]);
  nowMs = START_MS + 4_000;
  let looks = 0;
  await until(() => (looks += 1) > 5);
  await givePolicy('etl');
  await app.get(PoolsWithPolicy).refresh();
  nowMs = START_MS + 5_000;
  await until(() => latest()?.originMs === START_MS + 4_000);
  expect(made.map(({ originMs }) => originMs - START_MS)).toEqual([2_000, 4_000]);
  expect(latest()?.provenance.historyBuckets).toBe(5);
});

test('after the clock was set back the pool is forecast from where it is', async () => {
  await start();
  await demandFrom(0, [5, 6, 7]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.originMs === START_MS + 2_000);
  nowMs = START_MS - 7_200_000;
  await demandFrom(-7_202, [5, 6]);
  await until(() => latest()?.originMs === nowMs - 1_000);
  expect(failures).toEqual([]);
});

test('horizons reach from the next bucket to the one after the lead time, bounded in number', () => {
  expect(horizonsOf({ bucketS: 1, leadTimeS: 2.1 })).toEqual([1, 2, 3, 4]);
  expect(horizonsOf({ bucketS: 60, leadTimeS: 5 })).toEqual([60, 120]);
  const many = horizonsOf({ bucketS: 1, leadTimeS: 600 });
  expect(many.length).toBeLessThanOrEqual(24);
  expect(many.at(-1)).toBe(601);
});
