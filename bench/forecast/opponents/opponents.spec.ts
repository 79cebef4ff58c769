import { describe, expect, test } from '@jest/globals';
import { SCORED_LEVELS } from '#domain/forecasting';
import { createRandom } from '#domain/simulation';
import type { Series } from '../series.js';
import { craneDsp } from './crane-dsp.js';
import { fourier } from './fourier.js';
import { documentedHoltWinters, holtWinters, tunedHoltWinters } from './holt-winters.js';
import { lastValue, naiveLag, seasonalNaive } from './points.js';
import { asQuantiles, withResidualQuantiles } from './residual-quantiles.js';

const hours = (values: number[], steps = 1): Series => ({
  name: 'web_waves_1h',
  file: '',
  startMs: 0,
  bucketS: 3600,
  values: Float64Array.from(values),
  steps: [steps],
});
const wave = (days: number) =>
  Array.from({ length: days * 24 }, (_, i) => 100 + 60 * Math.sin((2 * Math.PI * i) / 24));

describe('points', () => {
  test('the last known value goes on', () => {
    expect([...lastValue(hours([3, NaN, 5, 6]), 1)]).toEqual([NaN, 3, 3, 5]);
  });

  test('the value of a season ago, or of the season before where it is missing', () => {
    expect([...seasonalNaive(hours([1, 2, 3, NaN, 5, 6]), 2)]).toEqual([NaN, NaN, 1, 2, 3, 2]);
  });

  test('a week is better than a day where weekends differ, once two weeks are known', () => {
    const week = hours(wave(35).map((y, i) => (Math.floor(i / 24) % 7 < 5 ? y : y / 10)));
    expect(naiveLag(week, { first: 28 * 24, end: 35 * 24 })).toBe(7 * 24);
    expect(naiveLag(week, { first: 13 * 24, end: 35 * 24 })).toBe(24);
    const noisy = createRandom(1);
    const plain = hours(wave(35).map((y, i) => y + i / 10 + noisy()));
    expect(naiveLag(plain, { first: 28 * 24, end: 35 * 24 })).toBe(24);
  });
});

describe('quantiles from residuals', () => {
  test('are those of the latest errors that were known, and never below zero', () => {
    const values = Float64Array.of(10, 12, 9, 20, 10, 1);
    const rows = withResidualQuantiles(Float64Array.of(10, 10, 10, 10, 10, 1), {
      values,
      part: { first: 5, end: 6 },
      steps: 2,
      window: 3,
    });
    // From bucket 3: errors 2, −1 and 10. From the level .1 on the least, from a third the middle one.
    expect(SCORED_LEVELS).toEqual([0.1, 0.5, 0.9, 0.95, 0.99]);
    expect([...rows]).toEqual([0, 3, 11, 11, 11]);
  });

  test('are of so many known errors, however long ago those were', () => {
    const random = createRandom(4);
    const values = Float64Array.from({ length: 600 }, (_, i) =>
      i > 400 && i < 560 ? NaN : Math.floor(100 * random()),
    );
    const points = new Float64Array(600).fill(50);
    const part = { first: 599, end: 600 };
    const rows = withResidualQuantiles(points, { values, part, steps: 1, window: 100 });
    const known = [...values.subarray(0, 599)].filter((y) => !Number.isNaN(y)).slice(-100);
    const sorted = known.toSorted((a, b) => a - b);
    expect([...rows]).toEqual([10, 50, 90, 95, 99].map((place) => sorted[place]));
  });

  test('a bare point is all of its quantiles', () => {
    expect([...asQuantiles(Float64Array.of(1, 2), { first: 1, end: 2 })]).toEqual([2, 2, 2, 2, 2]);
  });
});

describe('Holt-Winters', () => {
  const series = hours(wave(10));
  const errorOf = (points: Float64Array, from: number) =>
    Math.max(
      ...Array.from(points.subarray(from), (point, i) =>
        Math.abs(point - (series.values[from + i] as number)),
      ),
    );

  test('repeats what is periodic, as far ahead as it is asked', () => {
    const settings = { alpha: 0.1, beta: 0, gamma: 0.1, season: 24 };
    expect(errorOf(holtWinters(series, { steps: 5, settings }), 48)).toBeLessThan(1e-9);
  });

  test('as documented, its forecast of the next bucket stands for a later one', () => {
    const points = documentedHoltWinters(series, 6);
    const next = documentedHoltWinters(series, 1);
    expect([...points.subarray(100, 110)]).toEqual([...next.subarray(95, 105)]);
    expect(errorOf(points, 48)).toBeGreaterThan(errorOf(next, 48));
  });

  test('a missing bucket is the one that was forecast', () => {
    const gap = hours(wave(10).map((y, i) => (i > 130 && i < 140 ? NaN : y)));
    const settings = { alpha: 0.3, beta: 0.01, gamma: 0.3, season: 24 };
    expect(errorOf(holtWinters(gap, { steps: 1, settings }), 48)).toBeLessThan(1e-9);
  });

  test('tuned, it is better than as documented', () => {
    const random = createRandom(3);
    const noisy = hours(wave(20).map((y) => y + 20 * random()));
    const mean = (points: Float64Array) =>
      points
        .subarray(400)
        .reduce((sum, point, i) => sum + Math.abs(point - (noisy.values[400 + i] as number)), 0);
    const tuned = mean(tunedHoltWinters(noisy, { steps: 3, first: 300 }));
    expect(tuned).toBeLessThan(0.5 * mean(documentedHoltWinters(noisy, 3)));
  });
});

describe('Crane', () => {
  test('finds the waves of a signal, and the signal from its waves', () => {
    const re = Float64Array.from({ length: 60 }, (_, t) => 3 + 2 * Math.cos((2 * Math.PI * 5 * t) / 60));
    const spectrum = fourier({ re, im: new Float64Array(60) }, -1);
    expect(spectrum.re[0]).toBeCloseTo(180, 9);
    expect(spectrum.re[5]).toBeCloseTo(60, 9);
    expect(spectrum.re[6]).toBeCloseTo(0, 9);
    const back = fourier(spectrum, 1);
    back.re.forEach((y, t) => expect(y / 60).toBeCloseTo(re[t] as number, 9));
  });

  test('goes on with the day it has found, a margin above it', () => {
    const series = hours(wave(10), 3);
    const [points] = craneDsp(series) as [Float64Array];
    for (let t = 120; t < 240; t++) expect(points[t]).toBeCloseTo(1.01 * (series.values[t] as number), 6);
  });

  test('sees the last value while nothing repeats', () => {
    const random = createRandom(9);
    const series = hours(
      Array.from({ length: 240 }, () => 100 * random()),
      2,
    );
    const [points] = craneDsp(series) as [Float64Array];
    expect([...points.subarray(30)]).toEqual([...lastValue(series, 2).subarray(30)]);
  });
});
