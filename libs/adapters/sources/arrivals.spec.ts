import { describe, expect, test } from '@jest/globals';
import { array, assert, double, integer, property, record } from 'fast-check';
import { createRandom } from '#domain/simulation';
import { arrivalsOf, ratesOfTrace, syntheticRates, syntheticSourceSchema } from './index.js';

describe('arrivalsOf', () => {
  const steps = array(
    record({
      durationMs: integer({ min: 1, max: 2000 }),
      ratePerS: double({ min: 0, max: 500, noNaN: true }),
    }),
    {
      maxLength: 20,
    },
  );

  test('times rise, stay within the load, and avoid steps without rate', () => {
    assert(
      property(steps, integer(), (load, seed) => {
        const times = [...arrivalsOf(load, createRandom(seed))];
        const endMs = load.reduce((sum, step) => sum + step.durationMs, 0);
        expect(times.every((t, i) => t >= (times[i - 1] ?? 0) && t <= endMs + 1e-6)).toBe(true);
        let startMs = 0;
        for (const { durationMs, ratePerS } of load) {
          const inside = times.filter((t) => t > startMs + 1e-6 && t < startMs + durationMs - 1e-6);
          expect(ratePerS > 0 || inside.length === 0).toBe(true);
          startMs += durationMs;
        }
      }),
    );
  });

  test('each step receives its rate, as Poisson numbers do', () => {
    const load = [200, 0, 50].map((ratePerS) => ({ durationMs: 100_000, ratePerS }));
    const times = [...arrivalsOf(load, createRandom(1))];
    const counts = [0, 1, 2].map((step) => times.filter((t) => Math.floor(t / 100_000) === step).length);
    // Five standard deviations of a Poisson count, √mean.
    expect(Math.abs(counts[0]! - 20_000)).toBeLessThan(5 * Math.sqrt(20_000));
    expect(counts[1]).toBe(0);
    expect(Math.abs(counts[2]! - 5000)).toBeLessThan(5 * Math.sqrt(5000));
  });

  test('gaps are exponential: their coefficient of variation is 1', () => {
    const times = [...arrivalsOf([{ durationMs: 1e6, ratePerS: 20 }], createRandom(7))];
    const gaps = times.slice(1).map((t, i) => t - times[i]!);
    const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
    // The standard error of the cv of n exponential gaps is 1/√n; five of them.
    expect(Math.abs(Math.sqrt(variance) / mean - 1)).toBeLessThan(5 / Math.sqrt(gaps.length));
  });

  test('the same seed sends at the same times', () => {
    const load = [{ durationMs: 1000, ratePerS: 100 }];
    expect([...arrivalsOf(load, createRandom(3))]).toEqual([...arrivalsOf(load, createRandom(3))]);
    expect([...arrivalsOf(load, createRandom(3))]).not.toEqual([...arrivalsOf(load, createRandom(4))]);
  });
});

describe('ratesOfTrace', () => {
  test('the largest bucket of the window arrives at the peak; a missing one sends nothing and is counted', () => {
    const trace = { startMs: 0, stepMs: 60_000, values: [5, null, 20] };
    expect(ratesOfTrace(trace, { speed: 60, peakRps: 200 })).toEqual({
      missing: 1,
      steps: [50, 0, 200].map((ratePerS) => ({ durationMs: 1000, ratePerS })),
    });
  });
});

describe('syntheticRates', () => {
  const source = syntheticSourceSchema.parse({ kind: 'synthetic', seasonS: 60, peakRps: 100, days: 2 });

  test('days have their length and peak, and differ', () => {
    const rates = [...syntheticRates(source)];
    expect(rates.map((step) => step.durationMs).reduce((a, b) => a + b)).toBe(120_000);
    const peak = Math.max(...rates.map((step) => step.ratePerS));
    expect(peak).toBeGreaterThan(50);
    expect(rates.slice(0, 60)).not.toEqual(rates.slice(60));
  });

  test('without days it goes on', () => {
    const endless = syntheticRates(syntheticSourceSchema.parse({ kind: 'synthetic', seasonS: 10 }));
    const taken = Array.from({ length: 1000 }, () => endless.next().done);
    expect(taken).not.toContain(true);
  });
});
