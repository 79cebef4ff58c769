import { describe, expect, test } from '@jest/globals';
import { drawLognormal } from './draws.js';
import { HPA_DEFAULTS, hpaStep, type HpaMemory } from './hpa.js';
import { createRandom } from './random.js';
import { simulateLoop, type LoopObservation, type LoopSettings } from './simulate-loop.js';
import { syntheticDay } from './synthetic-day.js';
import { addToSketch, emptySketch } from '#domain/demand';
import { LEVELS, type Forecast } from '#domain/forecasting';
import { decide, policySchema, type DecisionMemory, type Policy } from '#domain/scaling';

const SEASON_S = 240;
const LEAD_S = 5;
const SLOTS = 4;
const SERVICE = { mean: 20, cv: 0.5 };
const OBJECTIVE = { responseMs: 50, quantile: 0.95 };
const DAY = syntheticDay({ seed: 3, seasonS: SEASON_S, peakRps: 400, day: 3 });

const run = (control: LoopSettings['control'], settings: Partial<LoopSettings> = {}) =>
  simulateLoop({
    ratesPerS: DAY,
    serviceMs: SERVICE,
    slotsPerWorker: SLOTS,
    leadTimeS: LEAD_S,
    objective: OBJECTIVE,
    initialWorkers: 2,
    seed: 3,
    control,
    ...settings,
  });

const serviceMs = (() => {
  const [sketch, random] = [emptySketch(), createRandom(9)];
  for (let i = 0; i < 5000; i++) addToSketch(sketch, drawLognormal(SERVICE, random));
  return sketch;
})();

/** The decision as a controller, with the expected rates known in advance and no more: what a good forecast knows. */
function deciding(mode: Policy['mode']): LoopSettings['control'] {
  const policy = policySchema.parse({
    mode,
    objective: OBJECTIVE,
    bounds: { minWorkers: 1, maxWorkers: 20 },
  });
  const mean = DAY.reduce((sum, rate) => sum + rate, 0) / DAY.length;
  let memory: DecisionMemory | undefined;
  return ({ nowS, arrivals, backlog, inFlight, ready, starting, draining, desired }: LoopObservation) => {
    const rate = ((arrivals.at(-1) ?? 0) + (arrivals.at(-2) ?? 0)) / 2;
    const step = decide(
      {
        nowMs: nowS * 1000,
        pool: 'p',
        bucketS: 1,
        seasonS: SEASON_S,
        policy,
        policyVersion: 1,
        demand: {
          arrivalRatePerS: rate,
          attemptsPerArrival: 1,
          backlog,
          inFlight,
          serviceMs,
          responseMs: serviceMs,
          trailingRatePerS: mean,
          asOfMs: nowS * 1000,
        },
        forecast: poissonForecast(nowS),
        fleet: { ready, starting, draining, desired, slotsPerWorker: SLOTS, leadTimeS: LEAD_S },
      },
      memory,
    );
    ({ memory } = step);
    return step.decision.desired;
  };
}

/** Quantiles of the counts of the next seconds: normal about the expected rate. */
function poissonForecast(nowS: number): Forecast {
  const normal = [-2.33, -1.64, -1.28, -0.67, 0, 0.67, 1.28, 1.64, 2.05, 2.33, 2.58, 3.09];
  const horizons = Array.from({ length: LEAD_S + 1 }, (_, i) => {
    const rate = DAY[Math.min(nowS + i, DAY.length - 1)] as number;
    const values = normal.map((z) => Math.max(0, rate + z * Math.sqrt(rate)));
    return { horizonS: i + 1, levels: [...LEVELS], values };
  });
  const provenance = { weights: {}, historyBuckets: 720, state: 'warm' as const };
  return { v: 1, pool: 'p', originMs: (nowS - 1) * 1000, bucketS: 1, horizons, provenance };
}

describe('the simulated loop', () => {
  test('one seed, one result', () => {
    expect(run(() => 4)).toEqual(run(() => 4));
    expect(run(() => 4, { seed: 2 }).requests).not.toBe(run(() => 4).requests);
  });

  test('arrivals follow the rates, and every controller meets the same', () => {
    const expected = DAY.reduce((sum, rate) => sum + rate, 0);
    const full = run(() => 10);
    // A Poisson count: four standard deviations.
    expect(Math.abs(full.requests - expected)).toBeLessThan(4 * Math.sqrt(expected));
    expect(run(() => 3).requests).toBe(full.requests);
  });

  test('full fleet: only the service time violates, and it is paid for', () => {
    const full = run(() => 10, { initialWorkers: 10 });
    // Lognormal, mean 20 ms, cv .5: 1.5 % take longer than 50 ms.
    expect(full.violatingShare).toBeGreaterThan(0.01);
    expect(full.violatingShare).toBeLessThan(0.017);
    expect(full).toMatchObject({ rejected: 0, violationSeconds: 0 });
    expect(full.workerSeconds).toBeCloseTo(2400, 6);
  });

  test('no workers: the queue fills, the rest is rejected', () => {
    const none = run(() => 0, { initialWorkers: 0, maxQueued: 100 });
    // A hundred wait for ever.
    expect(none.rejected).toBe(none.requests - 100);
    expect(none.violatingShare).toBe(1);
    expect(none.violationSeconds).toBeGreaterThan(235);
    expect(none.workerSeconds).toBe(0);
    expect(run(() => 1, { ratesPerS: [0, 0] })).toMatchObject({ requests: 0, violatingShare: 0 });
  });

  test('a worker comes after its lead time', () => {
    const seen: LoopObservation[] = [];
    const { readyPerS } = run((observation) => {
      seen.push(observation);
      return observation.nowS < 3 ? 2 : 5;
    });
    expect(readyPerS.slice(0, 9)).toEqual([2, 2, 2, 2, 2, 2, 2, 5, 5]);
    expect(seen[3]).toMatchObject({ nowS: 4, ready: 2, starting: 3, desired: 5 });
    expect(seen[3]?.arrivals.length).toBe(240);
  });
});

describe('rules in the loop', () => {
  test('the decision with a forecast violates far less than the one without, and than the stock HPA', () => {
    const predictive = run(deciding('predictive'));
    const reactive = run(deciding('reactive'));
    // A worker carries 200 requests/s at full utilisation; stock means 80 % of it.
    const settings = { ...HPA_DEFAULTS, targetPerWorker: 160, minWorkers: 1, maxWorkers: 20 };
    let memory: HpaMemory | undefined;
    const hpa = run(({ nowS, arrivals, desired }) => {
      const step = hpaStep({ nowS, metric: arrivals.at(-1), workers: desired }, settings, memory);
      ({ memory } = step);
      return step.desired;
    });
    // What service time alone violates, no rule can avoid.
    const unavoidable = run(() => 20, { initialWorkers: 20 }).violating;
    const avoidable = ({ violating }: { violating: number }) => violating - unavoidable;
    expect(avoidable(predictive)).toBeLessThan(0.5 * avoidable(reactive));
    expect(avoidable(predictive)).toBeLessThan(0.5 * avoidable(hpa));
    expect(predictive.violationSeconds).toBeLessThan(0.5 * reactive.violationSeconds);
    expect(predictive.workerSeconds).toBeLessThan(1.25 * reactive.workerSeconds);
  });
});
