import { describe, expect, test } from '@jest/globals';
import { createRandom } from '#domain/simulation';
import { coverageOf, geometricMean, maseOf, naiveError, widening, wqlOf } from './scores.js';

const all = () => true;
/** Rows of five equal quantiles. */
const points = (values: number[]) =>
  Float64Array.from(values.flatMap((value) => [value, value, value, value, value]));

describe('scores', () => {
  // At .1, .5, .9, .95 and .99.
  const rows = Float64Array.from([8, 10, 12, 13, 20, 1, 4, 4, 5, 9]);

  test('WQL: twice the pinball losses, relative to what arrived', () => {
    // 14: .1·6 + .5·4 + .9·2 + .95·1 + .01·6; 4: .1·3 + 0 + 0 + .05·1 + .01·5.
    const expected = (2 * (0.6 + 2 + 1.8 + 0.95 + 0.06 + 0.3 + 0.05 + 0.05)) / (5 * 18);
    expect(wqlOf(rows, { actual: Float64Array.of(14, 4), counts: all })).toBeCloseTo(expected, 12);
  });

  test('what is missing, or does not count, is left out', () => {
    const first = { actual: Float64Array.of(14, NaN), counts: all };
    const expected = (2 * (0.6 + 2 + 1.8 + 0.95 + 0.06)) / (5 * 14);
    expect(wqlOf(rows, first)).toBeCloseTo(expected, 12);
    expect(wqlOf(rows, { actual: Float64Array.of(14, 4), counts: (row) => row === 0 })).toBeCloseTo(
      expected,
      12,
    );
    expect(maseOf(rows, first, 2)).toBe(2);
  });

  test('MASE: the error of the median, in errors of the seasonal naive', () => {
    // Differences at lag 2: 4, 3 and one that is missing; the fifth lies in the part.
    const scale = naiveError(Float64Array.of(1, 5, 5, 2, NaN, 100), { lag: 2, before: 5 });
    expect(scale).toBe(3.5);
    expect(maseOf(rows, { actual: Float64Array.of(14, 2), counts: all }, scale)).toBeCloseTo(3 / 3.5, 12);
  });

  test('ratios have a geometric mean', () => {
    expect(geometricMean([0.5, 2])).toBeCloseTo(1, 12);
  });
});

describe('coverage', () => {
  const bootstrap = { blockBuckets: 10, resamples: 500, seed: 1 };
  /** `hits` of a thousand buckets are at or below the quantile, one after another. */
  const withHits = (hits: number) =>
    Float64Array.from({ length: 1000 }, (_, i) => ((i * hits) % 1000 < hits ? 1 : 3));
  const of = (actual: Float64Array, level: number) =>
    coverageOf(points(Array.from(actual, () => 2)), { actual, counts: all, level }, bootstrap);

  test('is what share was not above, with some room', () => {
    expect(of(withHits(900), 0.9)).toEqual({ level: 0.9, below: 0.9, atMost: 0.9, calibrated: true });
    expect(of(withHits(885), 0.9).calibrated).toBe(true);
    expect(of(withHits(800), 0.9).calibrated).toBe(false);
    expect(of(withHits(1000), 0.9).calibrated).toBe(false);
    expect(of(withHits(995), 0.99).calibrated).toBe(true);
  });

  test('the room is two points but at most half of what is above, or two errors but at most two thirds', () => {
    expect(widening(0.9, 0)).toBeCloseTo(0.02, 12);
    expect(widening(0.95, 0)).toBeCloseTo(0.02, 12);
    expect(widening(0.99, 0)).toBeCloseTo(0.005, 12);
    expect(widening(0.9, 0.02)).toBeCloseTo(0.04, 12);
    expect(widening(0.9, 0.5)).toBeCloseTo(0.2 / 3, 12);
  });

  test('errors that come together leave more room than those that come one by one', () => {
    // Of 2,000 buckets 300 are above: 15 %, a point too many; in ten runs of thirty, or each on its own.
    const runs = Float64Array.from({ length: 2000 }, (_, i) => (i % 200 < 30 ? 3 : 1));
    const single = Float64Array.from({ length: 2000 }, (_, i) => (i % 20 < 3 ? 3 : 1));
    const given = { blockBuckets: 60, resamples: 500, seed: 1 };
    const calibrated = (actual: Float64Array) =>
      coverageOf(points(Array.from(actual, () => 2)), { actual, counts: all, level: 0.9 }, given).calibrated;
    expect(calibrated(runs)).toBe(true);
    expect(calibrated(single)).toBe(false);
  });

  test('ties count for both sides: a pool that is idle is calibrated at zero', () => {
    const random = createRandom(2);
    const idle = Float64Array.from({ length: 1000 }, () => (random() < 0.97 ? 0 : 5));
    const { below, atMost, calibrated } = coverageOf(
      points(Array.from(idle, () => 0)),
      { actual: idle, counts: all, level: 0.9 },
      bootstrap,
    );
    expect([below, calibrated]).toEqual([0, true]);
    expect(atMost).toBeGreaterThan(0.95);
    expect(
      coverageOf(points([0]), { actual: Float64Array.of(5), counts: all, level: 0.9 }, bootstrap).atMost,
    ).toBe(0);
  });
});
