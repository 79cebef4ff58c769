import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { probabilityAtMost, quantileAt, type Quantiles } from './distribution.js';
import { LEVELS } from './forecast.js';

const anyQuantiles: fc.Arbitrary<Quantiles> = fc
  .array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e6, noNaN: true })), {
    minLength: LEVELS.length,
    maxLength: LEVELS.length,
  })
  .map((steps) => {
    let root = 0;
    return { levels: LEVELS, values: steps.map((step) => (root += Math.sqrt(step)) ** 2) };
  });
const probability = fc.double({ min: 0.0001, max: 0.9999, noNaN: true });
const arrivals = fc.double({ min: 0, max: 2e7, noNaN: true });

const ROUND_OFF = 1e-6;

describe('a distribution given by quantiles', () => {
  test('is linear in √y between levels and up to the first one', () => {
    const quantiles = { levels: [0.2, 0.5, 0.9], values: [4, 16, 100] };
    expect(probabilityAtMost(quantiles, 0)).toBe(0);
    expect(probabilityAtMost(quantiles, 1)).toBeCloseTo(0.1, 12); // √1 is half of √4
    expect(probabilityAtMost(quantiles, 9)).toBeCloseTo(0.35, 12); // √9 is half way from 2 to 4
    expect(quantileAt(quantiles, 0.7)).toBeCloseTo(49, 9); // half way from 4 to 10
    expect(quantileAt(quantiles, 0)).toBe(0);
  });

  test('goes on beyond the last level as the last two began', () => {
    const quantiles = { levels: [0.9, 0.99], values: [100, 144] };
    // From .9 to .99 the upper tail falls to a tenth within 2 of √y, and so it goes on.
    expect(probabilityAtMost(quantiles, 196)).toBeCloseTo(0.999, 12);
    expect(quantileAt(quantiles, 0.999)).toBeCloseTo(196, 9);
    expect(quantileAt(quantiles, 1)).toBe(Infinity);
  });

  test('of a certain value is a jump', () => {
    const quantiles = { levels: [0.5, 0.9], values: [25, 25] };
    expect(probabilityAtMost(quantiles, 24.999)).toBeLessThan(0.5);
    expect(probabilityAtMost(quantiles, 25)).toBe(0.9);
    expect(probabilityAtMost(quantiles, 25.001)).toBe(1);
    expect(quantileAt(quantiles, 0.9999)).toBeCloseTo(25, 12);
  });

  test('of one level says nothing beyond it', () => {
    const quantiles = { levels: [0.5], values: [9] };
    expect(probabilityAtMost(quantiles, 9)).toBe(0.5);
    expect(quantileAt(quantiles, 0.8)).toBe(9);
  });

  test('knows that nothing arrives is the least', () => {
    const quantiles = { levels: [0.5, 0.9], values: [0, 4] };
    expect(probabilityAtMost(quantiles, 0)).toBe(0.5);
    expect(probabilityAtMost(quantiles, -1)).toBe(0);
    expect(probabilityAtMost(quantiles, NaN)).toBe(0);
  });

  test('is non-decreasing both ways', () => {
    fc.assert(
      fc.property(anyQuantiles, arrivals, arrivals, probability, probability, (quantiles, a, b, p, q) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        expect(probabilityAtMost(quantiles, less)).toBeLessThanOrEqual(probabilityAtMost(quantiles, more));
        const [low, high] = [Math.min(p, q), Math.max(p, q)];
        expect(quantileAt(quantiles, low)).toBeLessThanOrEqual(quantileAt(quantiles, high) + ROUND_OFF);
      }),
    );
  });

  test('and its quantiles are inverses: q ≤ P(at most the q-quantile), and the P(y)-quantile ≤ y', () => {
    fc.assert(
      fc.property(anyQuantiles, arrivals, probability, (quantiles, y, q) => {
        const value = quantileAt(quantiles, q);
        expect(probabilityAtMost(quantiles, value * (1 + ROUND_OFF) + ROUND_OFF)).toBeGreaterThanOrEqual(
          q - ROUND_OFF,
        );
        const p = probabilityAtMost(quantiles, y);
        // Where P is 1 to the last digit, y is beyond any quantile.
        const least = p < 1 ? quantileAt(quantiles, p) : y;
        expect(least).toBeLessThanOrEqual(y * (1 + ROUND_OFF) + ROUND_OFF);
      }),
    );
  });
});
