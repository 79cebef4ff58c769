import type { DataSource } from 'typeorm';
import {
  DecisionStore,
  DemandStore,
  ForecastStore,
  KEEP_EIGHT_DAYS,
  PolicyStore,
  type PartitionOptions,
  type Store,
} from '#adapters/store';
import { addToSketch, emptyBucket, type Bucket } from '#domain/demand';
import { LEVELS, type Forecast } from '#domain/forecasting';
import { policySchema, type Decision, type DecisionMemory } from '#domain/scaling';
import { createRandom, drawLognormal, type Random } from '#domain/simulation';

/** Of each pool: demand of 9.3 days in buckets of 10 s, forecasts of 28 h, a decision a minute for a week. */
export const ROWS_PER_POOL = { demand: 80_000, forecasts: 10_000, decisions: 10_000 } as const;
export const STEP_MS = { demand: 10_000, forecasts: 10_000, decisions: 60_000 } as const;
export const POOL_ROWS = 100_000;
/** The newest row; all others are before it. */
export const NOW_MS = Date.UTC(2026, 10, 26, 12);

/** Texts of rows that are written again and again, with another time. */
const TEMPLATES = 64;
const DAY_MS = 86_400_000;
const SERVICE_MS = { mean: 20, cv: 0.5 };

const OPTIONS: PartitionOptions = { ...KEEP_EIGHT_DAYS, nowMs: () => NOW_MS };

export function storesOf({ dataSource }: Store) {
  return {
    policies: new PolicyStore(dataSource),
    demand: new DemandStore(dataSource, OPTIONS),
    forecasts: new ForecastStore(dataSource, OPTIONS),
    decisions: new DecisionStore(dataSource, OPTIONS),
  };
}
export type Stores = ReturnType<typeof storesOf>;

export const poolName = (index: number): string => `pool-${String(index).padStart(3, '0')}`;

/** Fills an empty store: `pools` times {@link POOL_ROWS} rows. */
export async function fill(
  store: Store,
  given: { pools: number; seed: number; progress: (line: string) => void },
): Promise<void> {
  const { pools, seed, progress } = given;
  const { dataSource } = store;
  const random = createRandom(seed);
  const stores = storesOf(store);
  const policy = policySchema.parse({});
  for (let p = 0; p < pools; p++) await stores.policies.create({ pool: poolName(p), policy, nowMs: NOW_MS });
  await dataSource.query('create table bench_templates (i int, kind text, text text, more text)');
  await writeTemplates(dataSource, random);
  for (const kind of ['demand', 'forecasts', 'decisions'] as const) {
    const days = Math.ceil((ROWS_PER_POOL[kind] * STEP_MS[kind]) / DAY_MS) + 1;
    for (let day = days - 1; day >= 0; day--) {
      await fillDay(dataSource, stores, { kind, day, pools });
      progress(`${kind}: ${days - day} of ${days} days`);
    }
  }
  await dataSource.query('drop table bench_templates');
  await dataSource.query('vacuum (analyze)');
}

interface Day {
  kind: keyof typeof ROWS_PER_POOL;
  /** 0 = today. */
  day: number;
  pools: number;
}

async function fillDay(dataSource: DataSource, stores: Stores, { kind, day, pools }: Day): Promise<void> {
  const stepMs = STEP_MS[kind];
  const oldestMs = NOW_MS - (ROWS_PER_POOL[kind] - 1) * stepMs;
  const todayMs = Math.floor(NOW_MS / DAY_MS) * DAY_MS;
  const fromMs = Math.max(oldestMs, todayMs - day * DAY_MS);
  const toMs = Math.min(NOW_MS, todayMs - (day - 1) * DAY_MS - stepMs);
  if (fromMs > toMs) return;
  await coverDay(stores, kind, fromMs);
  const firstMs = oldestMs + Math.ceil((fromMs - oldestMs) / stepMs) * stepMs;
  const rows = `from generate_series(${firstMs}::bigint, ${toMs}::bigint, ${stepMs}) as at
    cross join generate_series(0, ${pools - 1}) as p
    join bench_templates as t on t.kind = '${kind}' and t.i = (p * 7 + at / ${stepMs}) % ${TEMPLATES}
    order by at, p`;
  const pool = `'pool-' || lpad(p::text, 3, '0')`;
  const text = `replace(t.text, '1234567890123', at::text)`;
  const columns = {
    demand: `insert into demand select ${pool}, at, 100, ${text} ${rows}`,
    forecasts: `insert into forecasts select ${pool}, at, ${text} ${rows}`,
    decisions: `insert into decisions (pool, kind, first_at_ms, last_at_ms, count, decision, memory, policy_version)
      select ${pool}, 'scale', at, at, 1, ${text}::jsonb, t.more::jsonb, 1 ${rows}`,
  };
  await dataSource.query(columns[kind]);
}

/** A write of its own makes the partition, as the program does. */
async function coverDay(
  { demand, forecasts, decisions }: Stores,
  kind: Day['kind'],
  atMs: number,
): Promise<void> {
  const step = { topic: `bench-${kind}-${atMs}`, partition: 0, from: 0, nextOffset: 1 };
  const pool = 'cover';
  if (kind === 'demand')
    await demand.write({ buckets: [{ pool, bucket: emptyBucket(atMs) }], chains: [], step });
  if (kind === 'forecasts') await forecasts.write({ made: [forecastOf({ pool, originMs: atMs })], step });
  if (kind === 'decisions') await decisions.write({ made: [decisionOf({ pool, atMs })], step });
}

/** The time in a template; every row has its own in its place. */
const PLACEHOLDER_MS = 1_234_567_890_123;

async function writeTemplates(dataSource: DataSource, random: Random): Promise<void> {
  for (let i = 0; i < TEMPLATES; i++) {
    const { decision, memory } = decisionOf({ pool: poolName(i), atMs: PLACEHOLDER_MS });
    const texts: [string, unknown, unknown][] = [
      ['demand', bucketOf(random), ''],
      ['forecasts', forecastOf({ pool: poolName(i), originMs: PLACEHOLDER_MS, random }), ''],
      ['decisions', decision, memory],
    ];
    for (const [kind, value, more] of texts)
      await dataSource.query('insert into bench_templates values ($1, $2, $3, $4)', [
        i,
        kind,
        JSON.stringify(value),
        JSON.stringify(more),
      ]);
  }
}

/** What a hundred executions leave in ten seconds. */
function bucketOf(random: Random): Bucket {
  const bucket: Bucket = { ...emptyBucket(PLACEHOLDER_MS), arrivals: 100, starts: 100, completions: 100 };
  for (let i = 0; i < 100; i++) {
    const serviceMs = drawLognormal(SERVICE_MS, random);
    const waitMs = random() < 0.3 ? drawLognormal({ mean: 5, cv: 1 }, random) : 0;
    addToSketch(bucket.serviceMs, serviceMs);
    addToSketch(bucket.waitMs, waitMs);
    addToSketch(bucket.responseMs, serviceMs + waitMs);
  }
  return bucket;
}

/** At the levels of real ones, for twelve horizons. */
function forecastOf(given: { pool: string; originMs: number; random?: Random }): Forecast {
  const { pool, originMs, random = () => 0.5 } = given;
  const horizons = Array.from({ length: 12 }, (_, i) => ({
    horizonS: 10 * (i + 1),
    levels: [...LEVELS],
    values: LEVELS.map((level) => 100 * (0.5 + level) * (0.9 + 0.2 * random())),
  }));
  const provenance = { weights: { last: 0.5, season: 0.5 }, historyBuckets: 1000, state: 'warm' as const };
  return { v: 1, pool, originMs, bucketS: 10, horizons, provenance };
}

function decisionOf({ pool, atMs }: { pool: string; atMs: number }) {
  const decision: Decision = {
    kind: 'scale',
    pool,
    atMs,
    desired: 5,
    previousDesired: 4,
    reason: 'forecast',
    explanation: 'the forecast at lead time needs 5 workers: 100 arrivals in 10 s at level 0.95',
    neededNow: 4,
    pricedLevel: 0.95,
    pricedHorizonS: 20,
    objectiveReachable: true,
    limits: [],
    inputs: {
      demandAsOfMs: atMs,
      arrivalRatePerS: 10,
      backlog: 0,
      serviceMsMean: 20,
      readyWorkers: 4,
      leadTimeS: 5,
    },
  };
  const recentDesired = Array.from({ length: 20 }, (_, i) => ({ atMs: atMs - i * 1000, desired: 5 }));
  const memory: DecisionMemory = { v: 1, recentDesired, recentChanges: [], lastDesired: 5, lastNowMs: atMs };
  return { v: 1 as const, decision, memory, policyVersion: 1 };
}
