import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  capacityCurve,
  MAX_SIZED_WORKERS,
  serviceModel,
  violatingShare,
  waitProbability,
  workersFor,
  type ServiceModel,
} from './index.js';
import { MAX_PIECES } from './service-model.js';
import { addToSketch, emptySketch, type Sketch } from '#domain/demand';

const OBJECTIVE = { responseMs: 50, quantile: 0.95 };

/** A sketch with the shape of an exponential or of an Erlang distribution, by its quantiles. */
function sketchOf(quantile: (q: number) => number, count = 2000): Sketch {
  const sketch = emptySketch();
  for (let i = 0; i < count; i++) addToSketch(sketch, quantile((i + 0.5) / count));
  return sketch;
}
const exponential = (meanMs: number) => sketchOf((q) => -meanMs * Math.log(1 - q));
const fixed = (ms: number) => sketchOf(() => ms, 100);
const modelOf = (sketch: Sketch, objective = OBJECTIVE) => serviceModel(sketch, objective) as ServiceModel;

const services = fc
  .record({
    meanMs: fc.double({ min: 0.5, max: 40, noNaN: true }),
    // Power of a uniform number: from nearly fixed to widely spread.
    spread: fc.double({ min: 0.01, max: 2, noNaN: true }),
  })
  .map(({ meanMs, spread }) => sketchOf((q) => meanMs * (1 - Math.log(1 - q)) ** spread, 300));
const rates = fc.double({ min: 0.01, max: 100_000, noNaN: true });
const slots = fc.integer({ min: 1, max: 16 });

describe('service model', () => {
  test('M/M/1: P(response > t) = exp(−(µ − λ)·t) exactly', () => {
    const model = modelOf(exponential(10));
    // µ = 100/s, λ = 30/s, t = 50 ms: exp(−3.5) = 3.0 %. Bins are 2 % wide: tolerance 2 % of the value.
    expect(violatingShare({ ratePerS: 30, servers: 1 }, model) / Math.exp(-3.5)).toBeCloseTo(1, 1);
    expect(Math.abs(violatingShare({ ratePerS: 30, servers: 1 }, model) / Math.exp(-3.5) - 1)).toBeLessThan(
      0.02,
    );
  });

  test('few pieces describe any service time, and no request is lost', () => {
    fc.assert(
      fc.property(services, (sketch) => {
        const model = modelOf(sketch);
        expect(model.shares.length).toBeLessThanOrEqual(MAX_PIECES);
        if (!model.reachable) return;
        const within = model.shares.reduce((sum, share) => sum + share, 0);
        expect(within + model.shareOverObjective).toBeCloseTo(1, 9);
        expect([...model.slackMs].sort((a, b) => a - b)).toEqual(model.slackMs);
      }),
    );
  });

  test('an empty or broken sketch is no model', () => {
    const broken = [
      emptySketch(),
      { ...exponential(10), count: Number.NaN },
      { ...exponential(10), sum: Number.NaN },
      { ...exponential(10), sum: Infinity },
      { ...exponential(10), sum: -1 },
      { ...exponential(10), bins: [Number.NaN] },
    ];
    for (const sketch of broken) expect(serviceModel(sketch, OBJECTIVE)).toBeUndefined();
  });

  test('a service that takes no time needs hardly a worker, however many requests', () => {
    expect(workersFor({ ratePerS: 10_000, slotsPerWorker: 1 }, modelOf(fixed(0)))).toEqual({
      ok: true,
      workers: 1,
    });
  });
});

describe('workers for a rate', () => {
  test('hand-checked: 50 servers of 20 ms carry about 97 %', () => {
    const model = modelOf(sketchOf((q) => 20 * (0.5 + q), 1000));
    const { workers } = workersFor({ ratePerS: 2400, slotsPerWorker: 1 }, model);
    // 48 servers are busy; the least number above that leaves room for waits of at most 50 ms − service.
    expect(workers).toBeGreaterThan(48);
    expect(workers).toBeLessThan(52);
  });

  test('it is the least number: one less breaks the objective', () => {
    fc.assert(
      fc.property(services, rates, slots, (sketch, ratePerS, slotsPerWorker) => {
        const model = modelOf(sketch);
        fc.pre(model.shareOverObjective + model.budget < 0.05 + 1e-9);
        const { workers } = workersFor({ ratePerS, slotsPerWorker }, model);
        const share = (workers: number) =>
          violatingShare({ ratePerS, servers: workers * slotsPerWorker }, model);
        expect(share(workers)).toBeLessThanOrEqual(0.05 + 1e-12);
        // No worker at all breaks it, too.
        expect(share(workers - 1)).toBeGreaterThan(0.05);
      }),
    );
  });

  test('more demand never needs fewer workers, more slots never more', () => {
    fc.assert(
      fc.property(services, rates, rates, slots, (sketch, a, b, slotsPerWorker) => {
        const model = modelOf(sketch);
        const need = (ratePerS: number, slots = slotsPerWorker) =>
          workersFor({ ratePerS, slotsPerWorker: slots }, model).workers;
        expect(need(Math.max(a, b))).toBeGreaterThanOrEqual(need(Math.min(a, b)));
        expect(need(a, slotsPerWorker + 1)).toBeLessThanOrEqual(need(a));
      }),
    );
  });

  test('a stricter objective never needs fewer', () => {
    fc.assert(
      fc.property(services, rates, (sketch, ratePerS) => {
        const need = (responseMs: number, quantile: number) => {
          const model = modelOf(sketch, { responseMs, quantile });
          const sizing = workersFor({ ratePerS, slotsPerWorker: 1 }, model);
          return sizing.ok ? sizing.workers : Infinity;
        };
        expect(need(200, 0.99)).toBeGreaterThanOrEqual(need(200, 0.95));
        expect(need(100, 0.95)).toBeGreaterThanOrEqual(need(200, 0.95));
      }),
    );
  });

  test('no load needs no worker, and what is no number counts as none', () => {
    const model = modelOf(exponential(10));
    for (const ratePerS of [0, -5, Number.NaN]) {
      expect(workersFor({ ratePerS, slotsPerWorker: 4 }, model)).toEqual({ ok: true, workers: 0 });
    }
    for (const ratePerS of [1e12, Infinity]) {
      expect(workersFor({ ratePerS, slotsPerWorker: 1 }, model).workers).toBe(MAX_SIZED_WORKERS);
    }
    expect(violatingShare({ ratePerS: 0, servers: 0 }, model)).toBe(model.shareOverObjective);
  });

  test('an objective that the service time alone breaks is said, and sized for a short wait instead', () => {
    // Exponential, mean 20 ms: 8.2 % take longer than 50 ms, 5 % may.
    const model = modelOf(exponential(20));
    const sizing = workersFor({ ratePerS: 1000, slotsPerWorker: 1 }, model);
    expect(sizing).toMatchObject({ ok: false, reason: 'service-time' });
    if (sizing.ok) return;
    expect(sizing.shareOverObjective).toBeCloseTo(Math.exp(-2.5), 2);
    // 20 servers are busy. At most 5 % may wait longer than 2 ms: P(wait)·exp(−(c − 20)·2/20).
    const { workers } = sizing;
    const late = (servers: number) => waitProbability({ servers, load: 20 }) * Math.exp(-(servers - 20) / 10);
    expect(late(workers)).toBeLessThanOrEqual(0.05);
    expect(late(workers - 2)).toBeGreaterThan(0.05);
  });

  test.each([
    { slow: 0, of: 3, ok: true },
    { slow: 1, of: 3, ok: true },
    { slow: 3, of: 3, ok: true },
    { slow: 2, of: 30, ok: true },
    { slow: 30, of: 30, ok: false },
    { slow: 200, of: 3000, ok: false },
  ])(
    '$slow of $of slower than the objective: a number of workers is enough as far as is known: $ok',
    (given) => {
      const { slow, of, ok } = given;
      const model = modelOf(sketchOf((q) => (q * of < slow ? 80 : 20), of));
      expect(model.shareOverObjective).toBeCloseTo(slow / of, 9);
      const sizing = workersFor({ ratePerS: 1000, slotsPerWorker: 1 }, model);
      expect(sizing.ok).toBe(ok);
      // Some more than are busy, whatever is known; never all that there are.
      const busy = model.meanMs;
      expect(sizing.workers).toBeGreaterThan(busy);
      expect(sizing.workers).toBeLessThan(busy + 5 * Math.sqrt(busy));
    },
  );

  test('what seems out of reach and may be chance is sized as what is just within it', () => {
    const budgets = [0, 1, 2, 3, 4].map(
      (slow) => modelOf(sketchOf((q) => (q * 50 < slow ? 80 : 20), 50)).budget,
    );
    const allowed = 1 - OBJECTIVE.quantile;
    const expected = [allowed, allowed - 0.02, allowed - 0.04, allowed / 100, allowed / 100];
    for (const [i, budget] of budgets.entries()) expect(budget).toBeCloseTo(expected[i] as number, 9);
  });
});

describe('capacity of workers', () => {
  /** More than the curve's own precision. */
  const hairOf = (servers: number, { meanMs }: ServiceModel) => (2e-4 * Math.sqrt(servers) * 1000) / meanMs;

  test('is the inverse where it is solved: the rate holds, a hair more does not', () => {
    // 1 … 8, then powers of two and the middles between them.
    const solved = fc.oneof(
      fc.integer({ min: 1, max: 8 }),
      fc
        .tuple(fc.constantFrom(8, 12), fc.integer({ min: 0, max: 8 }))
        .map(([first, twos]) => first * 2 ** twos),
    );
    fc.assert(
      fc.property(services, solved, (sketch, servers) => {
        const model = modelOf(sketch);
        const ratePerS = capacityCurve({ slotsPerWorker: 1 }, model)(servers);
        expect(workersFor({ ratePerS, slotsPerWorker: 1 }, model).workers).toBeLessThanOrEqual(servers);
        const more = ratePerS + hairOf(servers, model);
        expect(workersFor({ ratePerS: more, slotsPerWorker: 1 }, model).workers).toBeGreaterThan(servers);
      }),
    );
  });

  test('is within 1 % of it everywhere, and never falls', () => {
    fc.assert(
      fc.property(services, slots, (sketch, slotsPerWorker) => {
        const model = modelOf(sketch);
        const curve = capacityCurve({ slotsPerWorker }, model);
        let before = 0;
        for (let workers = 1; workers < 2000; workers += 1 + (workers >> 3)) {
          const near = curve(workers);
          const hair = hairOf(workers * slotsPerWorker, model);
          const need = (ratePerS: number) => workersFor({ ratePerS, slotsPerWorker }, model).workers;
          expect(need(0.99 * near - hair)).toBeLessThanOrEqual(workers);
          expect(need(near / 0.9899 + hair)).toBeGreaterThan(workers);
          expect(near).toBeGreaterThanOrEqual(before);
          before = near;
        }
      }),
      { numRuns: 40 },
    );
  });

  test('no workers carry nothing', () => {
    const model = modelOf(exponential(10));
    for (const workers of [0, -1, Number.NaN])
      expect(capacityCurve({ slotsPerWorker: 2 }, model)(workers)).toBe(0);
  });
});
