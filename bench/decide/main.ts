// npm run bench:decide: many pools through demand → forecast → decide, on the main thread, a stage at a time.
import {
  applyPartial,
  closedArrivals,
  demandView,
  newDemandSeries,
  putBucket,
  trail,
  WINDOW_BUCKETS,
  type DemandSeries,
  type DemandView,
} from '#domain/demand';
import { forecastStep, newForecastMemory, type Forecast, type ForecastMemory } from '#domain/forecasting';
import { serviceModel, violatingShare, workersFor } from '#domain/queueing';
import { decide, policySchema, type DecisionMemory } from '#domain/scaling';
import { HPA_DEFAULTS, hpaStep, type HpaMemory } from '#domain/simulation';
import { median, progress, publish } from '../report.js';
import { BUCKET_MS, BUCKET_S, BUCKETS_PER_DAY, DAY_S, FIRST_MS, Loads, LOADS, PARTITIONS } from './load.js';

const ARGUMENTS = new Set(process.argv.slice(2));
const POOLS = ARGUMENTS.has('--quick') ? 1_000 : 10_000;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 5;
const SLOTS_PER_WORKER = 2;
/** Two buckets, so that decisions look at the three horizons that are forecast. */
const LEAD_TIME_S = 120;
const HORIZONS_S = [60, 120, 180];
const POLICY = policySchema.parse({ mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 100 } });
/** The rate target that a team would set: 80 % of what a worker of two slots carries at 20 ms. */
const HPA = { ...HPA_DEFAULTS, targetPerWorker: 80, minWorkers: 1, maxWorkers: 100 };

interface Pool {
  name: string;
  series: DemandSeries;
  forecasting: ForecastMemory;
  decisions: DecisionMemory | undefined;
  hpa: HpaMemory | undefined;
  desired: number;
  view: DemandView | undefined;
  forecast: Forecast | undefined;
}

const STAGES = {
  apply: `demand: ${PARTITIONS} partials a pool`,
  view: 'demand: view',
  forecast: 'forecast: one bucket, 3 horizons',
  decide: 'decide',
  sizing: '  of it, sizing the measured rate once',
  hpa: 'opponent: HPA rule',
  naiveSizing: 'opponent: sizing by linear search, model made anew',
} as const;
type Stage = keyof typeof STAGES;

const timesMs = Object.fromEntries(Object.keys(STAGES).map((stage) => [stage, []])) as unknown as Record<
  Stage,
  number[]
>;

function timed(stage: Stage, isMeasured: boolean, work: () => void): void {
  const startMs = performance.now();
  work();
  if (isMeasured) timesMs[stage].push(performance.now() - startMs);
}

/** Bytes in use after a collection, typed arrays included. */
function inUse(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const settingsOf = (pool: string) => ({
  pool,
  bucketS: BUCKET_S,
  seasonsS: [DAY_S],
  horizonsS: HORIZONS_S,
});

/** What a pool's forecasts depend on after a day; how long one pool's day takes is measured on the way. */
function learnDays(loads: Loads): { learned: ForecastMemory[]; openMs: number } {
  const closedOf = (pool: number) =>
    Array.from({ length: BUCKETS_PER_DAY }, (_, bucket) => ({
      startMs: FIRST_MS + bucket * BUCKET_MS,
      arrivals: loads.arrivals(pool, bucket),
    }));
  const learned: ForecastMemory[] = [];
  const openMs: number[] = [];
  for (let pool = 0; pool < LOADS; pool++) {
    const settings = settingsOf(`pool-${pool}`);
    const closed = closedOf(pool);
    const startMs = performance.now();
    learned.push(forecastStep({ settings, closed }, newForecastMemory(settings)).memory);
    openMs.push(performance.now() - startMs);
  }
  return { learned, openMs: median(openMs) };
}

/** Demand as a reader holds it that started from the table: a window of buckets, and where each partition stands. */
function openSeries(pool: number, loads: Loads): DemandSeries {
  const series = newDemandSeries({ bucketS: BUCKET_S, seasonS: DAY_S });
  for (let bucket = BUCKETS_PER_DAY - WINDOW_BUCKETS; bucket < BUCKETS_PER_DAY; bucket++)
    putBucket(loads.bucket(pool, bucket), series);
  for (let partition = 0; partition < PARTITIONS; partition++)
    series.chains.set(partition, { to: BUCKETS_PER_DAY, backlog: 0, inFlight: 0 });
  return series;
}

const loads = new Loads({ seed: 1 });
progress(`learning ${LOADS} days, then ${POOLS} pools …`);
const { learned, openMs } = learnDays(loads);
const bytes: Record<string, number> = {};
let before = inUse();
const serieses = Array.from({ length: POOLS }, (_, pool) => openSeries(pool, loads));
bytes['demand'] = inUse() - before;
before = inUse();
const memories = serieses.map((_, pool) => structuredClone(learned[pool % LOADS] as ForecastMemory));
bytes['forecast'] = inUse() - before;
const pools = serieses.map((series, i): Pool => {
  const forecasting = memories[i] as ForecastMemory;
  const none = { decisions: undefined, hpa: undefined, view: undefined, forecast: undefined };
  return { name: `pool-${i}`, series, forecasting, desired: 1, ...none };
});

for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) runRound(round);

function runRound(round: number): void {
  const isMeasured = round >= WARM_UP_ROUNDS;
  const bucket = BUCKETS_PER_DAY + round;
  const startMs = FIRST_MS + bucket * BUCKET_MS;
  const nowMs = startMs + BUCKET_MS + 300;
  const partials = pools.map((_, i) => loads.partials(i, bucket, loads.arrivals(i, bucket)));
  globalThis.gc?.();
  timed('apply', isMeasured, () => {
    pools.forEach(({ series }, i) => {
      for (const partial of partials[i] ?? []) {
        const { outcome } = applyPartial(partial, series);
        if (outcome !== 'applied') throw new Error(`bench:decide: partials must connect, got a ${outcome}`);
      }
    });
  });
  timed('view', isMeasured, () => {
    for (const pool of pools) {
      const { series } = pool;
      trail(closedArrivals({ fromMs: series.trailing.untilMs, toMs: startMs + BUCKET_MS }, series), series);
      pool.view = demandView({ countedToMs: nowMs }, series);
    }
  });
  timed('forecast', isMeasured, () => {
    for (const pool of pools) {
      const arrivals = pool.series.buckets.get(startMs)?.arrivals ?? 0;
      const input = { settings: settingsOf(pool.name), closed: [{ startMs, arrivals }] };
      pool.forecast = forecastStep(input, pool.forecasting).output;
    }
  });
  if (round === 0) before = inUse();
  timed('decide', isMeasured, () => {
    for (const pool of pools) decideFor(pool, nowMs);
  });
  if (round === 0) bytes['decide'] = inUse() - before;
  timed('hpa', isMeasured, () => {
    for (const pool of pools) {
      const metric = pool.view?.arrivalRatePerS;
      const step = hpaStep({ nowS: nowMs / 1000, metric, workers: pool.desired }, HPA, pool.hpa);
      pool.hpa = step.memory;
    }
  });
  const sized: number[] = [];
  timed('sizing', isMeasured, () => {
    for (const { view } of pools) sized.push(sizeOnce(view as DemandView));
  });
  timed('naiveSizing', isMeasured, () => {
    pools.forEach(({ view }, i) => {
      const workers = sizeByTrying(view as DemandView);
      if (workers !== sized[i])
        throw new Error(`bench:decide: both sizings must agree, got ${workers} and ${sized[i]}`);
    });
  });
}

function decideFor(pool: Pool, nowMs: number): void {
  const { decision, memory } = decide(
    {
      nowMs,
      pool: pool.name,
      bucketS: BUCKET_S,
      seasonS: DAY_S,
      policy: POLICY,
      policyVersion: 1,
      demand: pool.view,
      forecast: pool.forecast,
      fleet: {
        ready: pool.desired,
        starting: 0,
        draining: 0,
        desired: pool.desired,
        slotsPerWorker: SLOTS_PER_WORKER,
        leadTimeS: LEAD_TIME_S,
      },
    },
    pool.decisions,
  );
  if (decision.kind === 'blind') throw new Error(`bench:decide: must see, got blind (${decision.reason})`);
  pool.decisions = memory;
  pool.desired = decision.desired;
}

function sizeOnce({ serviceMs, arrivalRatePerS: ratePerS }: DemandView): number {
  const model = serviceModel(serviceMs, POLICY.objective);
  return model === undefined ? 0 : workersFor({ ratePerS, slotsPerWorker: SLOTS_PER_WORKER }, model).workers;
}

/** One worker more until the objective holds, with nothing kept from one try to the next. */
function sizeByTrying({ serviceMs, arrivalRatePerS: ratePerS }: DemandView): number {
  for (let workers = 1; ; workers++) {
    const model = serviceModel(serviceMs, POLICY.objective);
    if (model === undefined) return 0;
    const share = violatingShare({ ratePerS, servers: workers * SLOTS_PER_WORKER }, model);
    if (share <= 1 - POLICY.objective.quantile) return workers;
  }
}

const decideMs = median(timesMs.decide);
const memoryOf: Partial<Record<Stage, string>> = {
  apply: megabytes('demand'),
  forecast: megabytes('forecast'),
  decide: megabytes('decide'),
};
function megabytes(stage: string): string {
  return ((bytes[stage] as number) / POOLS / 2 ** 20).toFixed(4);
}
const head = ['stage', `ms for ${POOLS} pools`, 'ms per pool', 'MB per pool', '÷ decide'];
const rows = (Object.keys(STAGES) as Stage[]).map((stage) => {
  const ms = median(timesMs[stage]);
  return [
    STAGES[stage].trim(),
    ms.toFixed(0),
    (ms / POOLS).toFixed(4),
    memoryOf[stage] ?? '',
    (ms / decideMs).toFixed(2),
  ];
});
rows.push([
  'once, at a start: forecast, a day of history',
  (openMs * POOLS).toFixed(0),
  openMs.toFixed(4),
  '',
  '',
]);
const rssMb = process.memoryUsage.rss() / 2 ** 20;
progress(`resident at the end: ${rssMb.toFixed(0)} MB`);
publish(
  { name: 'decide', table: [head, ...rows], runs: { pools: POOLS, timesMs, bytes, openMs, rssMb } },
  { docs: ARGUMENTS.has('--docs') },
);
