import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { DemandReader } from '#adapters/demand-reader';
import { EmbeddedEventLog, EventLogServer, HandlerErrors, topicSpecs } from '#adapters/event-log';
import { SimulatedFleet } from '#adapters/fleet';
import {
  DecisionStore,
  DemandStore,
  ForecastStore,
  openEmbeddedStore,
  PolicyStore,
  type DecisionRecord,
  type EmbeddedStore,
} from '#adapters/store';
import {
  addToSketch,
  emptyBucket,
  sampledPartial,
  sampledPartition,
  serviceAround,
  type Bucket,
  type DemandPartial,
} from '#domain/demand';
import { LEVELS, type Forecast } from '#domain/forecasting';
import { policySchema, type Decision, type Policy } from '#domain/scaling';
import { Autoscaler } from './autoscaler.js';
import { AutoscalerModule } from './autoscaler.module.js';
import { FleetViews } from './fleet-views.js';
import { LatestForecasts } from './latest-forecasts.js';
import { MeanLoads } from './mean-loads.js';
import { PolicyCache } from './policy-cache.js';
import { RecordedDecisions } from './recorded-decisions.js';

const START_MS = 1_800_000_000_000;
const METER = sampledPartition('meter');
/** The clock is the tests' own; what is waited for is the next decision. */
const PERIOD_MS = 50;

let dataDir: string;
let store: EmbeddedStore;
let log: EmbeddedEventLog;
let fleet: SimulatedFleet;
let app: INestMicroservice;
let apps: INestMicroservice[];
let nowMs: number;
let decided: Decision[];
let failures: string[];
let unreadable: string[];
let forgotten: string[];
let orderErrors: (string | undefined)[];
let missing: string[];
let changed: () => void;
let toOfLast: number;
let restored: number[];
let outdated: number[];

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-autoscaler-'));
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
    'truncate policies, demand, demand_chains, demand_series, forecasts, decisions, projection_offsets restart identity',
  );
  log = await EmbeddedEventLog.open(store.engine, { housekeepingMs: 0, nowMs: () => nowMs });
  await log.ensureTopics(topicSpecs({ partitions: 2, dedupeWindowS: 10 }));
  fleet = newFleet();
  [nowMs, decided, failures, orderErrors, changed] = [START_MS, [], [], [], () => undefined];
  [apps, toOfLast, forgotten, restored, outdated] = [[], -1, [], [], []];
  missing = [];
});
afterEach(async () => {
  await Promise.all(apps.map((each) => each.close()));
  await log.close();
});

function newFleet(): SimulatedFleet {
  const quiet = () => undefined;
  return new SimulatedFleet({
    pools: { etl: { slots: 2, startMs: () => 2_000, drainS: 1, expectedLeadTimeS: 2, maxWorkers: 20 } },
    observer: { started: quiet, ready: quiet, crashed: quiet, stopped: quiet, eventsDropped: quiet },
  });
}

/** One process of the autoscaler; `made` takes its decisions. */
async function start({ made = decided, uptimeMs, demand }: Partial<Started> = {}): Promise<void> {
  const { dataSource } = store;
  const module = AutoscalerModule.register({
    log,
    stores: {
      policies: new PolicyStore(dataSource),
      demand: demand ?? new DemandStore(dataSource),
      forecasts: new ForecastStore(dataSource),
      decisions: new DecisionStore(dataSource),
    },
    fleet,
    settingsOf: (pool) => ({
      bucketS: 1,
      seasonsS: [60],
      settleMs: 0,
      hasFleet: pool === 'etl',
      worker: { slots: 2 },
      leadTimeMaxS: 2,
      sampledBy: pool === 'measured' ? [METER] : [],
    }),
    maxPools: 10,
    configured: new Set(),
    observer: {
      decided: ({ decision }) => (made.push(decision), changed()),
      ordered: ({ error }) => orderErrors.push(error?.message),
      restored: ({ desired }) => restored.push(desired),
      outdated: ({ desired }) => outdated.push(desired),
      forgotten: (pool) => forgotten.push(pool),
      inputMissing: ({ input, pool, error }) => missing.push(`${input} ${pool}: ${error.message}`),
      decisionsLost: () => undefined,
      policyChanged: () => undefined,
      demandRead: () => undefined,
      recordUnreadable: ({ topic, offset }) => void unreadable.push(`${topic}@${offset}`),
      ran: () => changed(),
      failed: ({ error }) => failures.push(error.message),
    },
    nowMs: () => nowMs,
    periodMs: PERIOD_MS,
    ...(uptimeMs && { uptimeMs }),
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
  apps.push(app);
  app.useGlobalFilters(new HandlerErrors());
  await app.listen();
}
interface Started {
  made: Decision[];
  uptimeMs: () => number;
  demand: DemandStore;
}

/** Waits for a state, looked at whenever something has happened. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const met = Promise.withResolvers<void>();
  changed = () => void Promise.resolve(condition()).then((yes) => yes && met.resolve(), met.reject);
  changed();
  await met.promise;
}

const given = (policy: Partial<Policy>, pool = 'etl') =>
  new PolicyStore(store.dataSource).create({ pool, policy: policySchema.parse(policy), nowMs });

/** One bucket a second, each with so many arrivals that were served in 20 ms. */
async function demandFrom(second: number, arrivals: number[], pool = 'etl'): Promise<void> {
  const buckets = arrivals.map((count, i): Bucket => {
    const bucket = { ...emptyBucket(START_MS + (second + i) * 1000), arrivals: count, starts: count };
    bucket.completions = count;
    for (let k = 0; k < count; k++) addToSketch(bucket.serviceMs, 20);
    return bucket;
  });
  const range = { partition: 0, from: toOfLast, to: toOfLast + 10 };
  const partial: DemandPartial = { v: 1, pool, bucketS: 1, range, watermarkMs: nowMs, buckets };
  toOfLast = range.to;
  await log.append('demand.v1', [{ key: pool, value: JSON.stringify(partial) }]);
}

/** A forecast that is sure of its number. */
async function forecastOf(arrivals: number, originMs: number, pool = 'etl'): Promise<void> {
  const horizons = [1, 2, 3].map((horizonS) => ({
    horizonS,
    levels: [...LEVELS],
    values: LEVELS.map(() => arrivals),
  }));
  const provenance = { weights: { last: 1 }, historyBuckets: 9, state: 'warm' as const };
  const forecast: Forecast = { v: 1, pool, originMs, bucketS: 1, horizons, provenance };
  await log.append('forecasts.v1', [{ key: pool, value: JSON.stringify(forecast) }]);
}

const latest = () => decided.at(-1);

test('a record that is no decision, or no forecast, is left out and stops nothing', async () => {
  await given({ mode: 'reactive' });
  for (const topic of ['decisions.v1', 'forecasts.v1'])
    await log.append(topic, [
      { key: 'etl', value: 'no json' },
      { key: 'etl', value: '{"v":1}' },
    ]);
  await start();
  await until(async () => (await new DecisionStore(store.dataSource).latestOf(['etl'])).size > 0);
  await until(() => unreadable.length === 4);
  expect(unreadable.toSorted()).toEqual([
    'decisions.v1@0',
    'decisions.v1@1',
    'forecasts.v1@0',
    'forecasts.v1@1',
  ]);
  expect(failures).toEqual([]);
});

test('workers are ordered before the forecast load arrives, and the record says why', async () => {
  await given({ mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 9 } });
  await start();
  await demandFrom(0, [20, 20, 20]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.neededNow === 1);
  await forecastOf(300, START_MS + 2_000);
  await until(() => latest()?.reason === 'forecast');
  await until(() => orderErrors.length > 0);
  const asked = (await fleet.observe('etl')).desired;
  expect(asked).toBeGreaterThan(3);
  expect(latest()?.neededNow).toBe(1);
  const kept = new DecisionStore(store.dataSource);
  await until(async () =>
    (await kept.page({ pool: 'etl', limit: 50 })).some(({ decision }) => decision.desired === asked),
  );
  expect(orderErrors).toEqual([undefined]);
  expect(failures).toEqual([]);
});

test('beyond what the fleet runs, decisions hold and say so', async () => {
  await given({ mode: 'reactive', bounds: { minWorkers: 1, maxWorkers: 100_000 } });
  await start();
  await demandFrom(0, [5000, 5000, 5000]);
  nowMs = START_MS + 3_000;
  await until(() => latest()?.kind === 'hold' && latest()?.desired === 20);
  expect(latest()?.limits.map(({ limit }) => limit)).toEqual(['fleet-max-workers']);
  expect((await fleet.observe('etl')).desired).toBe(20);
});

test('what is observed is decided for and never ordered', async () => {
  await given({ mode: 'observe', bounds: { minWorkers: 1, maxWorkers: 9 } });
  await start();
  await demandFrom(0, [300, 300, 300]);
  nowMs = START_MS + 3_000;
  await forecastOf(300, START_MS + 2_000);
  await until(() => (latest()?.desired ?? 0) > 3);
  expect((await fleet.observe('etl')).desired).toBe(1);
  expect(orderErrors).toEqual([]);
});

test('a start goes on from the record: workers, memory, demand, forecast', async () => {
  await given({
    mode: 'predictive',
    bounds: { minWorkers: 1, maxWorkers: 9 },
    scaleIn: { holdS: 60, maxWorkersPerMinute: 99 },
  });
  await start();
  await demandFrom(0, [300, 300, 300]);
  nowMs = START_MS + 3_000;
  await forecastOf(300, START_MS + 2_000);
  const kept = new DecisionStore(store.dataSource);
  const keptDesired = async () => (await kept.latestOf(['etl'])).get('etl')?.decision.desired ?? 0;
  await until(async () => (await keptDesired()) > 3);
  const before = await keptDesired();
  await app.close();
  [fleet, decided, restored] = [newFleet(), [], []];
  nowMs += 10_000;
  await start();
  await until(() => decided.length > 0);
  expect(restored).toEqual([before]);
  expect((await fleet.observe('etl')).desired).toBe(before);
  // The rush is over, but the hold of a minute was remembered.
  expect(latest()?.desired).toBe(before);
});

test('a pool that was never used is idle; one whose workers run elsewhere is decided for and never ordered', async () => {
  await given({ mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 9 } });
  await given({ mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 9 } }, 'elsewhere');
  await start();
  await demandFrom(0, [300, 300, 300], 'elsewhere');
  nowMs = START_MS + 3_000;
  await until(() => decided.some(({ pool, desired }) => pool === 'elsewhere' && desired > 3));
  await until(() => decided.findLast(({ pool }) => pool === 'etl')?.reason === 'idle');
  const elsewhere = decided.findLast(({ pool }) => pool === 'elsewhere');
  expect(elsewhere?.explanation).toMatch(/its workers run elsewhere/);
  expect(orderErrors).toEqual([]);
});

test('a pool is decided for while its past is being read; then its mean load is that of its seasons', async () => {
  await given({ mode: 'reactive' });
  const asked = Promise.withResolvers<void>();
  const may = Promise.withResolvers<void>();
  class SlowStore extends DemandStore {
    override async faded(query: Parameters<DemandStore['faded']>[0]): ReturnType<DemandStore['faded']> {
      asked.resolve();
      await may.promise;
      return super.faded(query);
    }
  }
  // It ends two minutes before the start: in those nobody counted.
  const past = Array.from({ length: 300 }, (_, s) => ({
    pool: 'etl',
    bucket: { ...emptyBucket(START_MS + (s - 420) * 1000), arrivals: s % 2 === 0 ? 0 : 14 },
  }));
  const demand = new SlowStore(store.dataSource);
  await demand.write({
    buckets: past.filter(({ bucket }) => bucket.arrivals > 0),
    chains: [{ pool: 'etl', partition: 0, nextOffset: 9, backlog: 0, inFlight: 0 }],
    step: { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 0 },
  });
  await start({ demand });
  await asked.promise;
  const before = decided.length;
  await until(() => decided.length > before + 1);
  const trailing = () => app.get(DemandReader).of('etl')?.trailing;
  expect(trailing()?.weight).toBe(0);
  may.resolve();
  // Five seasons of a half-life of three and a half.
  await until(() => (trailing()?.weight ?? 0) > 0.6);
  const { ratePerS, weight } = trailing() ?? { ratePerS: 0, weight: 1 };
  expect(ratePerS / weight).toBeCloseTo(7, 0);
  expect(failures).toEqual([]);
});

test('empty buckets count in the mean load from where a past that was brought in ends', async () => {
  await given({ mode: 'reactive' });
  const past = Array.from({ length: 150 }, (_, i) => ({
    pool: 'etl',
    bucket: { ...emptyBucket(START_MS + (2 * i - 300) * 1000), arrivals: 14 },
  }));
  const importedToMs = START_MS - 150_000;
  await new DemandStore(store.dataSource).write({
    buckets: past,
    chains: [
      { pool: 'etl', partition: 0, nextOffset: 9, backlog: 0, inFlight: 0 },
      {
        pool: 'etl',
        partition: sampledPartition('csv'),
        nextOffset: importedToMs,
        backlog: 0,
        inFlight: 0,
      },
    ],
    step: { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 0 },
  });
  await start();
  const trailing = () => app.get(DemandReader).of('etl')?.trailing;
  await until(() => (trailing()?.weight ?? 0) > 0.3);
  const { ratePerS, weight } = trailing() ?? { ratePerS: 0, weight: 1 };
  // Of every second bucket before it nothing is known: there the mean is 14; behind it it is 7.
  expect(ratePerS / weight).toBeGreaterThan(7.5);
  expect(ratePerS / weight).toBeLessThan(11);
});

test('a pool that loses its policy is forgotten', async () => {
  await given({ mode: 'reactive' });
  await start();
  await demandFrom(0, [20]);
  const bucketsHeld = () => app.get(DemandReader).of('etl')?.buckets.size;
  await until(() => decided.length > 0 && bucketsHeld() === 1);
  await new PolicyStore(store.dataSource).delete({
    pool: 'etl',
    seen: { version: 1, updatedAtMs: START_MS },
  });
  await app.get(PolicyCache).refresh();
  await until(() => forgotten.length > 0);
  expect(forgotten).toEqual(['etl']);
  expect(app.get(Autoscaler).pools()).toEqual([]);
  expect(bucketsHeld()).toBe(0);
});

test('demand that is still on its way is not taken for silence', async () => {
  await given({ mode: 'reactive', bounds: { minWorkers: 1, maxWorkers: 9 } });
  await start();
  await demandFrom(0, [20]);
  nowMs = START_MS + 1_000;
  await until(() => latest()?.reason === 'reaction');
  // Events that nobody counts: ingest does not run here. They age with the clock.
  await log.append('executions.v1', [{ key: 'x', value: '{}' }]);
  nowMs += 60_000;
  await until(() => latest()?.reason === 'demand-stale');
  expect(latest()?.kind).toBe('blind');
});

test('an input that does not answer makes decisions blind, and why is told', async () => {
  await given({ mode: 'reactive' });
  await start();
  fleet.observe = () => Promise.reject(new Error('the host is gone'));
  await demandFrom(0, [20]);
  nowMs = START_MS + 1_000;
  await until(() => latest()?.reason === 'fleet-missing');
  expect(missing).toContain('fleet etl: the host is gone');
  log.lag = () => Promise.reject(new Error('no answer'));
  await until(() => latest()?.reason === 'demand-missing');
  expect(missing).toContain('event-log undefined: no answer');
});

test('while the event log takes nothing, decisions go on and equal holds are counted; then they are recorded', async () => {
  await given({ mode: 'reactive' });
  await start();
  const taken: DecisionRecord[] = [];
  let full = true;
  const autoscaler = new Autoscaler({
    log: {
      append: async (_, records) => {
        if (full) throw new Error('full');
        taken.push(...records.map(({ value }) => JSON.parse(value as string) as DecisionRecord));
      },
    },
    reader: app.get(DemandReader),
    forecasts: app.get(LatestForecasts),
    policies: app.get(PolicyCache),
    fleet,
    fleetViews: app.get(FleetViews),
    means: app.get(MeanLoads),
    recorded: new RecordedDecisions(log, new DecisionStore(store.dataSource)),
    settingsOf: app.get(FleetViews).settingsOf,
    observer: {
      decided: () => undefined,
      ordered: () => undefined,
      outdated: () => undefined,
      restored: () => undefined,
      inputMissing: () => undefined,
      forgotten: () => undefined,
      decisionsLost: (decisions) => failures.push(`${decisions} lost`),
    },
    nowMs: () => nowMs,
  });
  for (let runs = 0; runs < 3; runs++) await expect(autoscaler.run()).rejects.toThrow('full');
  full = false;
  for (let runs = 0; runs < 2; runs++) await autoscaler.run();
  const counts = taken.map(({ count = 1 }) => count);
  expect(counts.reduce((sum, count) => sum + count)).toBe(5);
  expect(counts.length).toBeLessThan(5);
  expect(failures).toEqual([]);
});

test('an order that the fleet refuses is reported, and decisions go on', async () => {
  await given({ mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 9 } });
  await start();
  const closed = fleet.close();
  fleet.advance(10_000);
  await closed;
  await demandFrom(0, [300, 300, 300]);
  nowMs = START_MS + 3_000;
  await until(() => orderErrors.length > 0);
  const so = decided.length;
  await until(() => decided.length > so + 1);
  expect(orderErrors[0]).toEqual(expect.any(String));
  expect(latest()?.desired).toBeGreaterThan(3);
});

test('an order that was decided too long ago is not given: its process may have an heir', async () => {
  await given({ mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 9 } });
  // Each look at the clock of the process is six seconds after the one before: it stands still all the time.
  let uptimeMs = 0;
  await start({ uptimeMs: () => (uptimeMs += 6_000) });
  await demandFrom(0, [300, 300, 300]);
  nowMs = START_MS + 3_000;
  await until(() => outdated.some((desired) => desired > 3));
  expect(orderErrors).toEqual([]);
  expect((await fleet.observe('etl')).desired).toBe(1);
});

describe('two processes', () => {
  /** In both partitions. */
  const POOLS = ['etl', 'web', 'api', 'mail'];
  let one: Decision[];
  let other: Decision[];
  const poolsOf = (made: Decision[]) => [...new Set(made.map(({ pool }) => pool))].toSorted();

  beforeEach(async () => {
    [one, other] = [[], []];
    const policy: Partial<Policy> = {
      mode: 'predictive',
      bounds: { minWorkers: 1, maxWorkers: 9 },
      scaleIn: { holdS: 3_600, maxWorkersPerMinute: 99 },
    };
    for (const pool of POOLS) await given(policy, pool);
  });

  /** A rush that all pools have seen, and that one process has decided on. */
  async function afterTheRush(): Promise<number> {
    for (const pool of POOLS) await demandFrom(0, [300, 300, 300], pool);
    nowMs = START_MS + 3_000;
    const rushed = () =>
      POOLS.every((pool) => (one.findLast((made) => made.pool === pool)?.desired ?? 0) > 3);
    await until(rushed);
    nowMs += 20_000;
    return one.findLast(({ pool }) => pool === 'etl')?.desired as number;
  }
  async function quietUntilNow(): Promise<void> {
    for (const pool of POOLS) {
      await demandFrom(22, [1], pool);
      await forecastOf(1, START_MS + 22_000, pool);
    }
    await until(() => one.some(({ kind, neededNow }) => kind !== 'blind' && neededNow === 1));
  }

  test('each pool is decided by one of them; who takes over goes on where the other was', async () => {
    const partitions = POOLS.map((key) => log.partitionOf({ topic: 'demand.v1', key }));
    expect(new Set(partitions)).toEqual(new Set([0, 1]));
    await start({ made: one });
    const held = await afterTheRush();
    await quietUntilNow();
    await start({ made: other });
    await until(() => poolsOf(other).length > 0);
    one.length = 0;
    await until(() => one.length >= POOLS.length && other.length >= POOLS.length);
    expect(poolsOf(one).length + poolsOf(other).length).toBe(POOLS.length);
    expect([...poolsOf(one), ...poolsOf(other)].toSorted()).toEqual(POOLS.toSorted());
    // The hour of the hold was remembered, and nothing was missing.
    expect(other.every(({ desired }) => desired === held)).toBe(true);
    expect(other.filter(({ kind }) => kind === 'blind')).toEqual([]);

    await apps[0]?.close();
    other.length = 0;
    await until(() => poolsOf(other).length === POOLS.length);
    expect(other.every(({ desired }) => desired === held)).toBe(true);
    expect((await fleet.observe('etl')).desired).toBe(held);
    expect(failures).toEqual([]);
  }, 30_000);

  test('a policy that one of them changes is decided by in the other', async () => {
    await start({ made: one });
    await start({ made: other });
    await until(() => poolsOf(one).length > 0 && poolsOf(other).length > 0);
    const policies = new PolicyStore(store.dataSource);
    for (const pool of POOLS) {
      const policy = policySchema.parse({ bounds: { minWorkers: 4, maxWorkers: 4 } });
      await policies.update({ pool, policy, nowMs, seen: { version: 1, updatedAtMs: START_MS } });
    }
    const [asking] = apps;
    await asking?.get(PolicyCache).refresh();
    const bounded = () =>
      POOLS.every((pool) => [...one, ...other].some((made) => made.pool === pool && made.desired === 4));
    await until(bounded);
    expect(failures).toEqual([]);
  });
});

test('the last decision is found in the topic when the table does not hold it yet', async () => {
  const decisions = new DecisionStore(store.dataSource);
  const recorded = new RecordedDecisions(log, decisions);
  const recordOf = (atMs: number, desired: number, pool = 'etl') => {
    const memory = {
      v: 1 as const,
      recentDesired: [],
      recentChanges: [],
      lastDesired: desired,
      lastNowMs: atMs,
    };
    const decision: Decision = {
      kind: 'hold',
      pool,
      atMs,
      desired,
      previousDesired: desired,
      reason: 'reaction',
      explanation: 'stays',
      inputs: {},
      neededNow: undefined,
      pricedLevel: undefined,
      pricedHorizonS: undefined,
      objectiveReachable: true,
      limits: [],
    };
    return { v: 1 as const, decision, memory, policyVersion: 1 };
  };
  const append = (...records: unknown[]) =>
    log.append(
      'decisions.v1',
      records.map((record) => ({ key: 'etl', value: JSON.stringify(record) })),
    );
  const partition = log.partitionOf({ topic: 'decisions.v1', key: 'etl' });
  await append(recordOf(1, 1), recordOf(2, 2));
  const made = [recordOf(1, 1), recordOf(2, 2)];
  await decisions.write({ made, step: { topic: 'decisions.v1', partition, from: 0, nextOffset: 2 } });
  const lastDesired = async () => (await recorded.latestOf(['etl', 'none'])).get('etl')?.memory.lastDesired;
  expect(await lastDesired()).toBe(2);
  await append(recordOf(3, 3), 'no decision', recordOf(4, 4), recordOf(9, 9, 'another-pool'));
  expect(await lastDesired()).toBe(4);
  expect([...(await recorded.latestOf(['etl', 'none'])).keys()]).toEqual(['etl']);
});

test('a pool that is measured is decided by its measurements, and blind when they stop', async () => {
  await given({ mode: 'reactive', bounds: { minWorkers: 1, maxWorkers: 9 } }, 'measured');
  await start();
  nowMs = START_MS + 3_500;
  const ofPool = () => decided.findLast(({ pool }) => pool === 'measured');
  await until(() => ofPool()?.reason === 'demand-stale'); // nothing was ever measured
  const samples = [0, 1, 2].map((s) => ({
    startMs: START_MS + s * 1000,
    arrivals: 300,
    service: serviceAround(20, 300),
  }));
  const span = {
    pool: 'measured',
    partition: METER,
    bucketS: 1,
    samples,
    toMs: START_MS + 3_000,
    fraction: 0,
  };
  const { partial } = sampledPartial(span, undefined);
  await log.append('demand.v1', [{ key: 'measured', value: JSON.stringify(partial) }]);
  await until(() => (ofPool()?.desired ?? 0) > 3);
  expect(ofPool()?.kind).not.toBe('blind');
  nowMs = START_MS + 60_000;
  await until(() => ofPool()?.reason === 'demand-stale');
  expect(ofPool()).toMatchObject({ kind: 'blind', desired: ofPool()!.previousDesired });
});
