import { describe, expect, test } from '@jest/globals';
import { decide } from './decide.js';
import { BLIND_REASONS, REASONS, type DecisionInput, type DecisionMemory } from './decision.js';
import { forecastEndsEarly } from './inputs.js';
import { policySchema } from './policy.js';
import { addToSketch, emptySketch, type DemandView, type Sketch } from '#domain/demand';
import { LEVELS, type Forecast } from '#domain/forecasting';

type PolicyChanges = Parameters<typeof policySchema.parse>[0] & object;

/** Service times around 10 ms, none above 20: 100 requests/s keep one slot busy. */
const SERVICE = sketchOf((q) => 10 * (0.5 + q));

function sketchOf(quantile: (q: number) => number, samples = 200): Sketch {
  const sketch = emptySketch();
  for (let i = 0; i < samples; i++) addToSketch(sketch, quantile((i + 0.5) / samples));
  return sketch;
}

function demandOf(nowS: number, changes: Partial<DemandView> = {}): DemandView {
  return {
    arrivalRatePerS: 100,
    attemptsPerArrival: 1,
    backlog: 0,
    inFlight: 1,
    serviceMs: SERVICE,
    responseMs: SERVICE,
    trailingRatePerS: 100,
    asOfMs: nowS * 1000,
    ...changes,
  };
}

/** Certain arrivals per second at each horizon, in buckets of a second. */
function forecastOf(originS: number, ratesPerS: number[]): Forecast {
  const horizons = ratesPerS.map((rate, i) => ({
    horizonS: i + 1,
    levels: [...LEVELS],
    values: LEVELS.map(() => rate),
  }));
  const provenance = { weights: {}, historyBuckets: 500, state: 'warm' as const };
  return { v: 1, pool: 'etl', originMs: originS * 1000, bucketS: 1, horizons, provenance };
}

/** A pool with a clock: set, advance, expect. The fleet is granted what was decided. */
function pool(policy: PolicyChanges = {}, startWorkers = 2) {
  let memory: DecisionMemory | undefined;
  let desired = startWorkers;
  const at = (nowS: number, changes: Partial<DemandView> = {}, input: Partial<DecisionInput> = {}) => {
    const step = decide(
      {
        nowMs: nowS * 1000,
        pool: 'etl',
        bucketS: 1,
        seasonS: 1440,
        policy: policySchema.parse({
          mode: 'reactive',
          bounds: { minWorkers: 1, maxWorkers: 50 },
          ...policy,
        }),
        policyVersion: 1,
        demand: demandOf(nowS, changes),
        forecast: undefined,
        fleet: { ready: desired, starting: 0, draining: 0, desired, slotsPerWorker: 1, leadTimeS: 3 },
        ...input,
      },
      memory,
    );
    memory = JSON.parse(JSON.stringify(step.memory)) as DecisionMemory;
    ({ desired } = step.decision);
    return step.decision;
  };
  return { at, memory: () => memory as DecisionMemory };
}

describe('a reactive pool', () => {
  test('follows demand up at once, and down when its hold is over', () => {
    // Season 1,440 s: the hold is 10 s, as 10 minutes are for a day.
    const { at } = pool();
    const calm = at(0, { arrivalRatePerS: 100 });
    expect(calm).toMatchObject({ kind: 'hold', desired: 2, reason: 'reaction', limits: [] });
    const rush = at(1, { arrivalRatePerS: 1000 });
    // 1,000/s × 1.1 × 10 ms = 11 busy slots, and one or two for the waits.
    expect(rush).toMatchObject({ kind: 'scale', reason: 'reaction', previousDesired: 2 });
    expect(rush.desired).toBeGreaterThanOrEqual(12);
    expect(rush.desired).toBeLessThanOrEqual(14);
    expect(rush.explanation).toBe(`2 → ${rush.desired} workers: 1000/s × 1.10 need ${rush.desired}`);

    expect(at(2, { arrivalRatePerS: 500 })).toMatchObject({ kind: 'hold', reason: 'scale-in-hold' });
    const held = at(10.9, { arrivalRatePerS: 100 });
    expect(held).toMatchObject({ kind: 'hold', desired: rush.desired, neededNow: 2 });
    expect(held.limits).toEqual([{ limit: 'scale-in-hold', from: 2, to: rush.desired }]);
    expect(held.explanation).toContain(`scale-in-hold 2 → ${rush.desired}`);
    // The rush has left the window; the 500/s of second 2 have not.
    const middle = at(11.5, { arrivalRatePerS: 100 });
    expect(middle).toMatchObject({ kind: 'scale', reason: 'scale-in-hold' });
    expect(middle.desired).toBeGreaterThan(5);
    expect(at(13, { arrivalRatePerS: 100 })).toMatchObject({ kind: 'scale', desired: 2, reason: 'reaction' });
  });

  test('what it lets go could not have come back in time: the hold is at least two lead times', () => {
    const slow = { ready: 2, starting: 0, draining: 0, desired: 12, slotsPerWorker: 1, leadTimeS: 20 };
    const { at } = pool();
    at(0, { arrivalRatePerS: 1000 });
    expect(at(39, { arrivalRatePerS: 100 }, { fleet: slow })).toMatchObject({ reason: 'scale-in-hold' });
    expect(at(41, { arrivalRatePerS: 100 }, { fleet: slow })).toMatchObject({ kind: 'scale', desired: 2 });
  });

  test('the policy may set the hold', () => {
    const { at } = pool({ scaleIn: { holdS: 0 } });
    at(0, { arrivalRatePerS: 1000 });
    expect(at(0.5, { arrivalRatePerS: 100 })).toMatchObject({ kind: 'scale', desired: 2 });
  });

  test('the record has the numbers it came from, by value; what is no number is left out', () => {
    const changes = { backlog: 7, attemptsPerArrival: 1.5 };
    expect(pool().at(20, changes, { forecast: forecastOf(19, [1, 1, 1, 1]) }).inputs).toEqual({
      demandAsOfMs: 20_000,
      arrivalRatePerS: 100,
      attemptsPerArrival: 1.5,
      backlog: 7,
      waiting: expect.closeTo(6.5, 1), // 100/s × 1.5 × 10 ms are being served, one of them was told
      serviceMsMean: expect.closeTo(10, 0),
      reactionMarginRatio: 1.1,
      forecastOriginMs: 19_000,
      forecastLeadS: 3,
      readyWorkers: 2,
      slotsPerWorker: 1,
      leadTimeS: 3,
    });
    const nothing = { demand: undefined, fleet: undefined };
    expect(pool().at(20, {}, nothing).inputs).toEqual({ reactionMarginRatio: 1.1 });
    expect(pool().at(20, { backlog: NaN }).inputs).not.toHaveProperty('backlog');
  });

  test('a backlog is worked off within drainS', () => {
    // 6,000 waiting ÷ 60 s are 100/s more.
    const waiting = pool().at(0, { backlog: 6000, arrivalRatePerS: 0 });
    const arriving = pool({ reactionMarginRatio: 1 }).at(0, { arrivalRatePerS: 100 });
    expect(waiting.neededNow).toBe(arriving.neededNow);
    expect(waiting.explanation).toContain('and 6000 waiting');
  });

  test('the start of a short execution is told with its end: what is being served does not wait', () => {
    const at = (changes: Partial<DemandView>, ready = 5) => {
      const fleet = { ready, starting: 0, draining: 0, desired: 5, slotsPerWorker: 1, leadTimeS: 3 };
      const demand = { arrivalRatePerS: 400, inFlight: 0, ...changes };
      return pool({ drainS: 0.1 }).at(0, demand, { fleet });
    };
    // 400/s × 10 ms.
    const calm = at({ backlog: 4 });
    expect(calm.inputs).toMatchObject({ backlog: 4, waiting: expect.closeTo(0, 6) });
    expect(calm.neededNow).toBe(at({ backlog: 0 }).neededNow);
    expect(calm.explanation).not.toContain('waiting');
    expect(at({ backlog: 14 }).explanation).toContain('and 10 waiting');
    // What was told is not in the backlog any more.
    expect(at({ backlog: 4, inFlight: 4 }).inputs.waiting).toBeCloseTo(4);
    // Without a free slot nothing more is served.
    expect(at({ backlog: 100 }, 2).inputs.waiting).toBeCloseTo(98);
    expect(at({ backlog: 100 }, 0).inputs.waiting).toBe(100);
    for (const inFlight of [Number.NaN, Infinity])
      expect(at({ backlog: 4, inFlight }).inputs.waiting).toBe(4);
    expect(at({ backlog: 4 }, Number.NaN).inputs.waiting).toBe(4);
  });

  test('of services longer than drainS more arrivals never explain the backlog away', () => {
    const serviceMs = sketchOf(() => 100_000);
    const fleet = { ready: 900, starting: 0, draining: 0, desired: 900, slotsPerWorker: 1, leadTimeS: 3 };
    const needed = (arrivalRatePerS: number) =>
      pool({ drainS: 5 }).at(0, { arrivalRatePerS, backlog: 1000, serviceMs }, { fleet }).neededNow as number;
    expect(needed(4)).toBeGreaterThanOrEqual(needed(2));
  });

  test('what the fleet does not run is not asked for again and again: its bound is a limit, and holds', () => {
    const fleet = { ready: 2, starting: 0, draining: 0, slotsPerWorker: 1, leadTimeS: 3, maxWorkers: 8 };
    const { at } = pool();
    const first = at(0, { arrivalRatePerS: 2000 }, { fleet: { ...fleet, desired: 2 } });
    expect(first).toMatchObject({ kind: 'scale', desired: 8, reason: 'fleet-max-workers' });
    expect(first.explanation).toContain('fleet-max-workers 23 → 8');
    const next = at(1, { arrivalRatePerS: 2000 }, { fleet: { ...fleet, desired: 8 } });
    expect(next).toMatchObject({ kind: 'hold', desired: 8, reason: 'fleet-max-workers' });
    // Nor is it held: a need from before the fleet had its bound.
    const unbounded = pool();
    unbounded.at(0, { arrivalRatePerS: 2000 });
    expect(unbounded.at(1, {}, { fleet: { ...fleet, desired: 8 } }).desired).toBe(8);
    expect(at(2, {}, { fleet: { ...fleet, desired: 8, maxWorkers: NaN } }).reason).toBe('fleet-invalid');
  });

  test('bounds', () => {
    expect(pool().at(0, { arrivalRatePerS: 1e6 })).toMatchObject({ desired: 50, reason: 'max-workers' });
    expect(pool({ bounds: { minWorkers: 3, maxWorkers: 9 } }).at(0)).toMatchObject({
      desired: 3,
      reason: 'min-workers',
      limits: [{ limit: 'min-workers', from: 2, to: 3 }],
    });
    const idle = pool({ bounds: { minWorkers: 0, maxWorkers: 9 }, scaleIn: { holdS: 0 } });
    expect(idle.at(0, { arrivalRatePerS: 0 })).toMatchObject({ desired: 0, neededNow: 0, kind: 'scale' });
  });

  test('rates: so many more, so many fewer in a minute', () => {
    const { at } = pool({
      scaleIn: { holdS: 0, maxWorkersPerMinute: 3 },
      scaleOut: { maxWorkersPerMinute: 5 },
    });
    expect(at(0, { arrivalRatePerS: 1000 })).toMatchObject({ desired: 7, reason: 'scale-out-rate' });
    expect(at(30, { arrivalRatePerS: 1000 })).toMatchObject({ kind: 'hold', desired: 7 });
    // The minute of the first five is over.
    const risen = at(60, { arrivalRatePerS: 2000 });
    expect(risen).toMatchObject({ kind: 'scale', desired: 12 });
    expect(risen.limits).toEqual([{ limit: 'scale-out-rate', from: risen.neededNow, to: 12 }]);
    // Down is its own allowance.
    expect(at(61, { arrivalRatePerS: 100 })).toMatchObject({ desired: 9, reason: 'scale-in-rate' });
    expect(at(61.5, { arrivalRatePerS: 100 }).desired).toBe(9);
    expect(at(121, { arrivalRatePerS: 100 }).desired).toBe(6);
  });

  test('a lower maximum also ends what is held', () => {
    const { at } = pool();
    const many = at(0, { arrivalRatePerS: 2000 }).desired;
    const policy = policySchema.parse({ mode: 'reactive', bounds: { maxWorkers: 8 } });
    expect(many).toBeGreaterThan(8);
    expect(at(1, { arrivalRatePerS: 100 }, { policy })).toMatchObject({ desired: 8, kind: 'scale' });
  });

  test.each([
    { samples: 3, reachable: true },
    { samples: 30, reachable: true },
    { samples: 3000, reachable: false },
  ])(
    '$samples answers, one in fifteen too slow: what may be chance is not said',
    ({ samples, reachable }) => {
      const slow = Math.ceil(samples / 15);
      const serviceMs = sketchOf((q) => (q * samples < slow ? 80 : 10), samples);
      const decision = pool().at(0, { arrivalRatePerS: 200, serviceMs });
      expect(decision.objectiveReachable).toBe(reachable);
      expect(decision.explanation.includes('no number of workers')).toBe(!reachable);
      // Three to seven slots are busy.
      expect(decision.desired).toBeGreaterThan(2);
      expect(decision.desired).toBeLessThan(25);
    },
  );

  test('an objective that the service time breaks is said, not scaled to the maximum', () => {
    // A tenth of the requests takes 80 ms by itself; p95 is to be 50 ms.
    const serviceMs = sketchOf((q) => (q < 0.9 ? 10 : 80));
    const decision = pool().at(0, { arrivalRatePerS: 200, serviceMs });
    expect(decision.objectiveReachable).toBe(false);
    // 200/s × 1.1 × 17 ms = 3.7 busy slots.
    expect(decision.desired).toBeGreaterThan(4);
    expect(decision.desired).toBeLessThan(12);
    expect(decision.explanation).toContain(
      'no number of workers answers within 50 ms: service alone is slower for 10 % (5 % allowed)',
    );
  });
});

describe('a predictive pool', () => {
  const predictive = (changes: PolicyChanges = {}) => pool({ mode: 'predictive', ...changes });
  const rise = (nowS: number) => ({ forecast: forecastOf(nowS - 1, [100, 100, 100, 800, 2000]) });

  test('orders before the load arrives: lead 3 s, buckets of 1 s, so horizons 1 to 4', () => {
    const decision = predictive().at(100, {}, rise(100));
    expect(decision).toMatchObject({ kind: 'scale', reason: 'forecast', pricedHorizonS: 4 });
    expect(decision.pricedLevel).toBeGreaterThanOrEqual(9);
    expect(decision.pricedLevel).toBeLessThan(12);
    expect(decision.desired).toBe(decision.pricedLevel);
    expect(decision.explanation).toContain(`the forecast 4 s ahead is worth ${decision.desired}`);
  });

  test('a forecast that is a bucket late is read from now on', () => {
    // Horizon 5 of the older forecast is the fourth bucket from now.
    const late = { forecast: forecastOf(98, [9000, 100, 100, 100, 800]) };
    expect(predictive().at(100, {}, late)).toMatchObject({ pricedHorizonS: 5 });
    expect(predictive().at(100, {}, late).desired).toBeLessThan(12);
  });

  test('a lead time beyond what the forecast covers is said', () => {
    const fleet = { ready: 2, starting: 0, draining: 0, desired: 2, slotsPerWorker: 1 };
    const forecast = forecastOf(99, [100, 100, 100, 100]);
    const covered = predictive().at(100, {}, { forecast, fleet: { ...fleet, leadTimeS: 3 } });
    expect(covered.explanation).not.toContain('leadTimeMaxS');
    expect(forecastEndsEarly(covered)).toBe(false);
    const short = predictive().at(100, {}, { forecast, fleet: { ...fleet, leadTimeS: 3.14 } });
    expect(short.explanation).toContain(
      'the forecast covers a lead time of 3 s (leadTimeMaxS), and workers take 3.14 s',
    );
    expect(forecastEndsEarly(short)).toBe(true);
    // Nobody looks at the forecast of a reactive pool.
    const reactive = pool().at(100, {}, { forecast, fleet: { ...fleet, leadTimeS: 9 } });
    expect(forecastEndsEarly(reactive)).toBe(false);
  });

  test('the measured load wins when it asks for more', () => {
    const decision = predictive().at(100, { arrivalRatePerS: 1500 }, rise(100));
    expect(decision).toMatchObject({ reason: 'reaction', desired: decision.neededNow });
  });

  test('demand that is not worth its price is left to the reaction', () => {
    expect(predictive({ violationPrice: 0 }).at(100, {}, rise(100))).toMatchObject({
      pricedLevel: 1,
      reason: 'reaction',
    });
  });

  test('without a forecast measured load may raise the number, nothing lowers it', () => {
    const { at } = predictive({ scaleIn: { holdS: 0 } });
    expect(at(0, { arrivalRatePerS: 1000 })).toMatchObject({ kind: 'scale', reason: 'forecast-missing' });
    const kept = at(60, { arrivalRatePerS: 100 });
    expect(kept).toMatchObject({ kind: 'blind', reason: 'forecast-missing', neededNow: 2 });
    expect(kept.explanation).toContain('there is no forecast, not lowered');
    const stale = at(120, {}, { forecast: forecastOf(120 - 17, [100, 100, 100, 100]) });
    expect(stale).toMatchObject({ kind: 'blind', reason: 'forecast-stale' });
    const future = at(121, {}, { forecast: forecastOf(500, [100]) });
    expect(future).toMatchObject({ kind: 'blind', reason: 'forecast-stale' });
    const back = at(122, {}, { forecast: forecastOf(121, [100, 100, 100, 100]) });
    expect(back).toMatchObject({ kind: 'scale', desired: 2 });
  });

  test('what is no distribution is no forecast', () => {
    const broken = forecastOf(99, [100]);
    for (const change of [
      { levels: [] },
      { values: [1] },
      { values: LEVELS.map(() => Number.NaN) },
      { values: LEVELS.map((level) => -level) },
      { values: LEVELS.map((level) => 1 - level) },
      { values: LEVELS.map((_, i) => (i === 11 ? Infinity : 1)) },
    ]) {
      const horizons = broken.horizons.map((horizon) => ({ ...horizon, ...change }));
      const decision = predictive().at(100, {}, { forecast: { ...broken, horizons } });
      expect(decision).toMatchObject({ kind: 'blind', reason: 'forecast-invalid', desired: 2 });
    }
  });

  test('observe decides the same, starting from its own last decision', () => {
    const { at } = pool({ mode: 'observe' });
    const first = at(100, {}, rise(100));
    expect(first).toMatchObject({ reason: 'forecast', previousDesired: 2 });
    expect(first.explanation).toContain('only observed');
    const fleet = { ready: 2, starting: 0, draining: 0, desired: 2, slotsPerWorker: 1, leadTimeS: 3 };
    expect(at(101, {}, { ...rise(101), fleet }).previousDesired).toBe(first.desired);
  });
});

describe('blind', () => {
  test('old demand keeps the number, fresh demand moves it again; the hold counts from there', () => {
    const { at } = pool();
    const busy = at(0, { arrivalRatePerS: 1000 }).desired;
    // 15 s is the limit for short buckets.
    expect(at(15, { arrivalRatePerS: 100, asOfMs: 0 })).toMatchObject({ kind: 'scale' });
    const { at: again } = pool();
    expect(again(0, { arrivalRatePerS: 1000 }).desired).toBe(busy);
    const blind = again(15.1, { arrivalRatePerS: 100, asOfMs: 0 });
    expect(blind).toMatchObject({ kind: 'blind', reason: 'demand-stale', desired: busy });
    expect(blind.explanation).toBe(`stays at ${busy} workers: the newest demand is too old, kept`);
    // Recovered: what was kept while blind was a decision too, and is held for 10 s.
    expect(again(16, { arrivalRatePerS: 100 })).toMatchObject({ kind: 'hold', reason: 'scale-in-hold' });
    expect(again(26, { arrivalRatePerS: 100 })).toMatchObject({ kind: 'scale', desired: 2 });
  });

  test('long buckets: three of them', () => {
    const minutes = { bucketS: 60 };
    expect(pool().at(180, { asOfMs: 0 }, minutes).kind).not.toBe('blind');
    expect(pool().at(181, { asOfMs: 0 }, minutes)).toMatchObject({ kind: 'blind', reason: 'demand-stale' });
  });

  test('nothing to see: the number is kept', () => {
    expect(pool().at(0, {}, { demand: undefined })).toMatchObject({
      kind: 'blind',
      reason: 'demand-missing',
    });
    expect(pool().at(0, {}, { fleet: undefined })).toMatchObject({
      kind: 'blind',
      reason: 'fleet-missing',
      desired: 1,
    });
    const { at } = pool();
    const busy = at(0, { arrivalRatePerS: 1000 }).desired;
    expect(at(1, {}, { fleet: undefined })).toMatchObject({ kind: 'blind', desired: busy });
  });

  test('retries are work: twice the attempts are sized like twice the arrivals, measured and forecast', () => {
    const one = pool().at(0, { arrivalRatePerS: 200 });
    const tried = pool().at(0, { arrivalRatePerS: 100, attemptsPerArrival: 2 });
    expect(tried.neededNow).toBe(one.neededNow);
    expect(tried.neededNow).toBeGreaterThan(pool().at(0, { arrivalRatePerS: 100 }).neededNow as number);
    const ahead = (rate: number, attemptsPerArrival: number) =>
      pool({ mode: 'predictive' }).at(
        100,
        { attemptsPerArrival },
        { forecast: forecastOf(99, [100, 100, rate]) },
      );
    expect(ahead(300, 2).pricedLevel).toBe(ahead(600, 1).pricedLevel);
    expect(ahead(300, 2).pricedLevel).toBeGreaterThan(ahead(300, 1).pricedLevel as number);
  });

  test('numbers that are none: the number is kept', () => {
    for (const value of [Number.NaN, Infinity, -1]) {
      for (const changes of [{ arrivalRatePerS: value }, { backlog: value }]) {
        expect(pool().at(0, changes)).toMatchObject({ kind: 'blind', reason: 'demand-invalid', desired: 2 });
      }
      for (const key of ['desired', 'slotsPerWorker', 'leadTimeS'] as const) {
        const fleet = { ready: 2, starting: 0, draining: 0, desired: 2, slotsPerWorker: 1, leadTimeS: 3 };
        const decision = pool().at(0, {}, { fleet: { ...fleet, [key]: value } });
        expect(decision).toMatchObject({ kind: 'blind', reason: 'fleet-invalid' });
        expect(Number.isInteger(decision.desired)).toBe(true);
      }
      // What only refines is done without.
      const refined = pool().at(0, { attemptsPerArrival: value, trailingRatePerS: value });
      expect(refined).toMatchObject({ kind: 'hold', desired: 2 });
    }
    expect(pool().at(0, { asOfMs: Number.NaN })).toMatchObject({ reason: 'demand-invalid' });
  });

  test('bounds hold also when blind', () => {
    const decision = pool({ bounds: { minWorkers: 4, maxWorkers: 9 } }).at(0, {}, { demand: undefined });
    expect(decision).toMatchObject({ kind: 'scale', desired: 4, reason: 'demand-missing' });
    expect(decision.limits).toEqual([{ limit: 'min-workers', from: 2, to: 4 }]);
  });

  test('an unknown service time: one worker when requests wait, so that it becomes known', () => {
    const unknown = { serviceMs: emptySketch() };
    const empty = () => pool({ bounds: { minWorkers: 0, maxWorkers: 9 } }, 0);
    expect(empty().at(0, { ...unknown, arrivalRatePerS: 0 })).toMatchObject({
      kind: 'hold',
      reason: 'idle',
      desired: 0,
    });
    expect(empty().at(0, { ...unknown, backlog: 5 })).toMatchObject({ kind: 'scale', desired: 1 });
    expect(pool().at(0, unknown)).toMatchObject({ kind: 'blind', desired: 2 });
  });

  test('every blindness has a word, and words are not used twice', () => {
    expect(new Set(REASONS).size).toBe(REASONS.length);
    expect(REASONS).toEqual(expect.arrayContaining([...BLIND_REASONS]));
  });
});

describe('a clock that goes back', () => {
  test('is said, and holds last as long as they would have', () => {
    const { at } = pool();
    const busy = at(1000, { arrivalRatePerS: 1000 }).desired;
    const back = at(400, { arrivalRatePerS: 100 });
    expect(back).toMatchObject({ kind: 'hold', desired: busy });
    expect(back.explanation).toContain('the clock went back by 600 s');
    expect(at(409, { arrivalRatePerS: 100 }).desired).toBe(busy);
    expect(at(410.5, { arrivalRatePerS: 100 }).desired).toBe(2);
  });

  test('a time that is no number is the last one', () => {
    const { at } = pool();
    at(50);
    expect(at(Number.NaN, { asOfMs: 50_000 })).toMatchObject({ atMs: 50_000, kind: 'hold' });
    expect(pool().at(Number.NaN, { asOfMs: 0 }).atMs).toBe(0);
  });
});
