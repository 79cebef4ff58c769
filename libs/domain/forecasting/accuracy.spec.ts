import { describe, expect, test } from '@jest/globals';
import { createRandom, syntheticDay, type Random } from '#domain/simulation';
import { forecastStep } from './forecast-step.js';
import { LEVELS, type Forecast } from './forecast.js';
import { newForecastMemory } from './memory.js';
import { SCORED_LEVELS, weightedQuantileLoss, type Scored } from './scores.js';
import type { ForecastSettings } from './settings.js';

// How good forecasts are, on seeded series of which the best possible forecast is known.

/** A Poisson count (Knuth's product of uniforms, in parts because e^−mean underflows). */
function poisson(mean: number, random: Random): number {
  if (mean > 500) return poisson(mean / 2, random) + poisson(mean / 2, random);
  let [count, product] = [0, random()];
  for (const limit = Math.exp(-mean); product > limit; product *= random()) count++;
  return count;
}

function counts(rates: number[], seed: number): number[] {
  const random = createRandom(seed);
  return rates.map((rate) => poisson(rate, random));
}

const constant = (rate: number, buckets: number) => Array.from({ length: buckets }, () => rate);

/** Forecast of each bucket from `steps` buckets before; undefined while there is none. */
function forecastSeries(
  series: number[],
  given: { seasonS: number; steps: number },
): (Forecast | undefined)[] {
  const settings: ForecastSettings = {
    pool: 'p',
    bucketS: 1,
    seasonsS: [given.seasonS],
    horizonsS: [given.steps],
  };
  const memory = newForecastMemory(settings);
  const made = series.map(
    (arrivals, i) => forecastStep({ settings, closed: [{ startMs: i * 1000, arrivals }] }, memory).output,
  );
  return [...Array.from({ length: given.steps }, () => undefined), ...made].slice(0, series.length);
}

const valuesOf = (forecast: Forecast | undefined) => forecast?.horizons[0]?.values ?? [];
const quantileOf = (forecast: Forecast | undefined, level: number) =>
  valuesOf(forecast)[LEVELS.findIndex((one) => one === level)] as number;

function scoredFrom(first: number, series: number[], forecasts: (Forecast | undefined)[]): Scored[] {
  return series
    .map((actual, i) => ({ quantiles: { levels: LEVELS, values: valuesOf(forecasts[i]) }, actual }))
    .slice(first);
}

/** A point forecast with quantiles from its own latest errors, as docs/ARCHITECTURE.md asks of it ("How it is measured"). */
function withResiduals(first: number, series: number[], lag: number): Scored[] {
  const errors = series.map((actual, i) => actual - (series[i - lag] ?? NaN));
  const scored: Scored[] = [];
  for (let i = first; i < series.length; i++) {
    const known = errors.slice(Math.max(lag, i - lag - 600), i - lag + 1).sort((a, b) => a - b);
    const values = SCORED_LEVELS.map((level) => {
      const error = known[Math.floor(level * known.length)] as number;
      return Math.max(0, (series[i - lag] as number) + error);
    });
    scored.push({ quantiles: { levels: SCORED_LEVELS, values }, actual: series[i] as number });
  }
  return scored;
}

const asPoints = (first: number, series: number[], lag: number): Scored[] =>
  series.slice(first).map((actual, i) => {
    const value = series[first + i - lag] as number;
    return { quantiles: { levels: [0.5], values: [value] }, actual };
  });

describe('on compressed days with a flash crowd, the fourth to sixth day', () => {
  const seasonS = 300;
  const rates = [0, 1, 2, 3, 4, 5].flatMap((day) => syntheticDay({ seed: 1, seasonS, peakRps: 250, day }));
  const series = counts(rates, 7);
  const first = 3 * seasonS;

  test.each([1, 4])('WQL %i s ahead is clearly below the last value and the value of a day ago', (steps) => {
    const ours = weightedQuantileLoss(scoredFrom(first, series, forecastSeries(series, { seasonS, steps })));
    // Errors of counts around their rate have one variance, differences of two counts have twice that. Of a normal
    // error, WQL is E|e| = .80·sd for a bare point and .35·sd for true quantiles. So what can be had at best is
    // .35 ÷ (√2·.80) = .31 of a bare point, and 1 ÷ √2 = .71 of one with quantiles from its residuals. Half of the way
    // there from 1 must be covered, flash crowds included: .66 and .85.
    for (const lag of [steps, seasonS]) {
      expect(ours / weightedQuantileLoss(asPoints(first, series, lag))).toBeLessThan(0.66);
      expect(ours / weightedQuantileLoss(withResiduals(first, series, lag))).toBeLessThan(0.85);
    }
  });
});

describe('coverage', () => {
  /** docs/ARCHITECTURE.md, "How it is measured": q lies in [share below, share at most], widened by chance. */
  function isCalibrated(level: number, series: number[], forecasts: (Forecast | undefined)[]): boolean {
    const shareOf = (holds: (actual: number, quantile: number) => boolean) =>
      series.filter((actual, i) => holds(actual, quantileOf(forecasts[i], level))).length / series.length;
    const twoSe = 2 * Math.sqrt((level * (1 - level)) / series.length);
    const widening = Math.max(Math.min(0.02, (1 - level) / 2), Math.min(twoSe, (2 * (1 - level)) / 3));
    const below = shareOf((actual, quantile) => actual < quantile);
    const atMost = shareOf((actual, quantile) => actual <= quantile);
    return below - widening <= level && level <= atMost + widening;
  }

  test.each([
    { rate: 0.4, steps: 1 },
    { rate: 20, steps: 1 },
    { rate: 20, steps: 10 },
    { rate: 400, steps: 3 },
  ])('of Poisson counts is what the levels say: $rate a bucket, $steps ahead', ({ rate, steps }) => {
    const series = counts(constant(rate, 4000), 11);
    const forecasts = forecastSeries(series, { seasonS: 100, steps });
    const learning = 500;
    const missed = [0.9, 0.95, 0.99, 0.995].filter(
      (level) => !isCalibrated(level, series.slice(learning), forecasts.slice(learning)),
    );
    expect(missed).toEqual([]);
  });

  test('comes back after the level has grown thirty times', () => {
    const series = counts([...constant(20, 600), ...constant(600, 900)], 3);
    const forecasts = forecastSeries(series, { seasonS: 100, steps: 3 });
    const shift = 600;
    // Three steps later the last value knows, and the short means a few buckets after it.
    const median = quantileOf(forecasts[shift + 13], 0.5);
    expect(Math.abs(median / 600 - 1)).toBeLessThan(0.15); // 3.5 standard deviations of a count of 600
    const missed = [0.9, 0.95].filter(
      (level) => !isCalibrated(level, series.slice(shift), forecasts.slice(shift)),
    );
    expect(missed).toEqual([]);
    const settled = forecasts[shift + 300];
    // A count of 600 has 90 % of its mass in ±40; allowed is twice the width.
    expect(quantileOf(settled, 0.95) - quantileOf(settled, 0.05)).toBeLessThan(160);
  });
});

describe('a season', () => {
  const season = 120;
  /** A quarter of each season has ten times the load, all at once. */
  const rates = Array.from({ length: 5 * season }, (_, i) =>
    i % season >= 60 && i % season < 90 ? 200 : 20,
  );
  const forecasts = forecastSeries(counts(rates, 5), { seasonS: season, steps: 10 });
  /** Five buckets into the rush of a season, forecast five buckets before it. */
  const rushOf = (seasonsBefore: number) => forecasts[seasonsBefore * season + 65];

  test('is unknown the first time, and learned after two', () => {
    expect(quantileOf(rushOf(0), 0.5)).toBeLessThan(40);
    expect(quantileOf(rushOf(2), 0.95)).toBeGreaterThan(150);
    expect(quantileOf(rushOf(3), 0.5)).toBeGreaterThan(150);
    // And the end of the rush as well: 93 is forecast from the midst of it.
    expect(quantileOf(forecasts[3 * season + 93], 0.5)).toBeLessThan(60);
  });
});
