import { describe, expect, test } from '@jest/globals';
import { createRandom } from '#domain/simulation';
import { CALIBRATED, FIRST_CALIBRATED, updateOffsets } from './calibration.js';
import { forecastStep } from './forecast-step.js';
import { LEVELS } from './forecast.js';
import { newForecastMemory } from './memory.js';
import type { ForecastSettings } from './settings.js';

/** Standard normal quantiles at LEVELS. */
const NORMAL = [-2.326, -1.645, -1.282, -0.674, 0, 0.674, 1.282, 1.645, 2.054, 2.326, 2.576, 3.09];
const LEVEL_90 = LEVELS.indexOf(0.9) - FIRST_CALIBRATED;
const LEVEL_999 = LEVELS.indexOf(0.999) - FIRST_CALIBRATED;

describe('an offset', () => {
  const after = (outcomes: boolean[], steps = 1) => {
    const offsets = new Float64Array(CALIBRATED);
    for (const isMissed of outcomes) updateOffsets(offsets, { steps, missed: () => isMissed });
    return offsets;
  };

  test('rises with a miss, and falls with a hit by what its level leaves to misses', () => {
    // Of .9: 0.02 × (1 − 0.1) and 0.02 × 0.1; nine hits make up for a miss.
    expect(after([true])[LEVEL_90]).toBeCloseTo(0.018, 9);
    expect(after([false])[LEVEL_90]).toBeCloseTo(-0.002, 9);
    expect(after([true, ...Array.from({ length: 9 }, () => false)])[LEVEL_90]).toBeCloseTo(0, 9);
    // Of .999, whose misses are rare, by ten times as much: 0.2 × 0.999.
    expect(after([true])[LEVEL_999]).toBeCloseTo(0.1998, 9);
  });

  test('each level has its own', () => {
    const offsets = new Float64Array(CALIBRATED);
    updateOffsets(offsets, { steps: 1, missed: (calibrated) => calibrated === LEVEL_90 });
    const risen = [...offsets].map((offset, i) => [i, offset > 0]);
    expect(risen).toEqual([...offsets].map((_, i) => [i, i === LEVEL_90]));
  });

  test('of forecasts more than three steps ahead moves less: their outcomes overlap', () => {
    expect(after([true], 3)).toEqual(after([true], 1));
    expect(after([true], 6)[LEVEL_90]).toBeCloseTo(0.009, 9);
  });

  test('stays within six mean errors', () => {
    const often = Array.from({ length: 10_000 }, () => true);
    expect(new Set(after(often))).toEqual(new Set([6]));
    expect(after(often.map(() => false))[LEVEL_90]).toBe(-6);
  });
});

test('what an expert that is always too low leaves out, calibration puts back', () => {
  // Only the expert knows the level of the next bucket, so it speaks alone. On √arrivals it is right about the spread, and
  // one standard deviation too low: its .9 lies at 0.28 of them instead of 1.28, which 61 % keep.
  const seed = 5;
  const random = createRandom(seed);
  const [buckets, learning] = [4000, 1000];
  const roots = Array.from({ length: buckets + 1 }, () => 10 + 20 * random());
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const arrivals = roots.map((root) => Math.round((root + normal()) ** 2));
  const toldOf = (root: number) => NORMAL.map((z) => (root - 1 + z) ** 2);
  const settings: ForecastSettings = {
    pool: 'p',
    bucketS: 1,
    seasonsS: [100],
    horizonsS: [1],
    external: 'net',
  };
  const memory = newForecastMemory(settings);
  const kept = { told: [0, 0, 0], issued: [0, 0, 0] };
  const levels = [0.9, 0.95, 0.99] as const;
  for (let i = 0; i < buckets; i++) {
    const values = toldOf(roots[i + 1] as number);
    const closed = [{ startMs: i * 1000, arrivals: arrivals[i] as number }];
    const { output } = forecastStep({ settings, closed, external: [{ horizonS: 1, values }] }, memory);
    if (i < learning) continue;
    expect(output?.provenance.weights['net']).toBeGreaterThan(0.9);
    levels.forEach((level, at) => {
      const place = LEVELS.indexOf(level);
      const actual = arrivals[i + 1] as number;
      if (actual <= (values[place] as number)) kept.told[at]! += 1;
      if (actual <= (output?.horizons[0]?.values[place] as number)) kept.issued[at]! += 1;
    });
  }
  const shares = (counts: number[]) => counts.map((count) => count / (buckets - learning));
  shares(kept.told).forEach((share, at) => expect(share).toBeLessThan((levels[at] as number) - 0.05));
  // Half of what a level leaves to misses, at most two points: as docs/ARCHITECTURE.md has it of coverage.
  shares(kept.issued).forEach((share, at) => {
    const level = levels[at] as number;
    expect(Math.abs(share - level)).toBeLessThan(Math.min(0.02, (1 - level) / 2));
  });
});
