import { describe, expect, test } from '@jest/globals';
import { meanUpTo, newHistory, push, type History } from '../history.js';
import { layoutOf } from '../settings.js';
import { dampedHolt, newHolt, updateHolt } from './damped-holt.js';
import { lastValue } from './last-value.js';
import { movingMean } from './moving-mean.js';
import type { Outlook } from './outlook.js';
import { learnRidge, newRidge, ridge } from './ridge.js';
import { seasonalNaive } from './seasonal-naive.js';
import { seasonalShape } from './seasonal-shape.js';

const SEASON = 10;
const layout = layoutOf({ pool: 'p', bucketS: 1, seasonsS: [SEASON], horizonsS: [1] });
const [season] = layout.seasons as [(typeof layout.seasons)[number]];

/** Roots of what arrived; NaN: missing. */
function historyOf(roots: number[]): History {
  const history = newHistory(100);
  for (const root of roots) push(history, root);
  return history;
}

function outlookOf(roots: number[], steps = 1, origin = roots.length - 1): Outlook {
  const history = historyOf(roots);
  const holt = newHolt();
  for (const root of roots) updateHolt(holt, root);
  const level = meanUpTo(history, { last: origin, buckets: layout.windows.level });
  return { history, origin, steps, windows: layout.windows, level, holt, ridge: newRidge(1) };
}

const wave = Array.from({ length: SEASON }, (_, i) => 4 + Math.abs(i - 5));
const times = (factor: number) => wave.map((root) => (root + 1) * factor - 1);

test('the last value is the last known one', () => {
  expect(lastValue.point(outlookOf([3, 4, NaN]))).toBe(4);
  expect(lastValue.point(outlookOf([NaN]))).toBeNaN();
});

test('the moving mean leaves out what is missing', () => {
  expect(layout.windows.level).toBe(3);
  expect(movingMean.point(outlookOf([9, 2, NaN, 4]))).toBe(3);
  expect(movingMean.point(outlookOf([9, NaN, NaN, NaN]))).toBeNaN();
});

describe('damped Holt', () => {
  test('of a constant is that constant, also over a gap', () => {
    const outlook = outlookOf([NaN, 5, 5, 5, NaN, NaN, 5]);
    expect(dampedHolt.point(outlook)).toBeCloseTo(5, 9);
  });

  test('follows growth, and believes in it less the farther it looks', () => {
    const growth = Array.from({ length: 200 }, (_, i) => i);
    const near = dampedHolt.point(outlookOf(growth, 1));
    const far = dampedHolt.point(outlookOf(growth, 1000));
    expect(near).toBeGreaterThan(190);
    expect(far).toBeGreaterThan(near);
    // Σ φ^k = 19 more steps at most.
    expect(far).toBeLessThan(199 + 19);
  });

  test('never falls below zero', () => {
    const fall = Array.from({ length: 50 }, (_, i) => Math.max(0, 100 - 4 * i));
    expect(dampedHolt.point(outlookOf(fall, 50))).toBeGreaterThanOrEqual(0);
  });
});

describe('seasonal naive', () => {
  test('is the value one season before the target, or as many as a farther target needs', () => {
    const naive = seasonalNaive(season);
    expect(naive.point(outlookOf([...wave, ...wave], 3))).toBe(wave[2]);
    expect(naive.point(outlookOf([...wave, ...wave], SEASON))).toBe(wave[SEASON - 1]);
    expect(naive.point(outlookOf([...wave, ...wave], SEASON + 1))).toBe(wave[0]);
  });

  test('cannot tell before a season is there, or when that bucket is missing', () => {
    const naive = seasonalNaive(season);
    expect(naive.point(outlookOf(wave.slice(0, 8), 1))).toBeNaN();
    expect(naive.point(outlookOf([NaN, ...wave.slice(1)], 1))).toBeNaN();
  });
});

describe('the seasonal shape', () => {
  const shape = seasonalShape(season);

  test('goes on as the last season did, at the level of now', () => {
    expect(shape.point(outlookOf([...wave, ...wave], 3))).toBeCloseTo(wave[2] as number, 5);
    const doubled = outlookOf([...wave, ...times(2).slice(0, 5)], 3);
    expect(shape.point(doubled)).toBeCloseTo(2 * ((wave[7] as number) + 1) - 1, 5);
  });

  test('forgets what happened in one season of three', () => {
    const flash = wave.map((root, i) => (i === 7 ? 30 : root));
    const outlook = outlookOf([...wave, ...flash, ...wave, ...wave.slice(0, 5)], 3);
    expect(shape.point(outlook)).toBeCloseTo(wave[7] as number, 5);
  });

  test('takes what is known of the past seasons, and cannot tell without any', () => {
    const unknown = wave.map(() => NaN);
    const expected = wave[2] as number;
    for (const past of [
      [wave, unknown, wave],
      [wave, wave, wave],
      [unknown, wave, wave],
      [wave, wave],
      [wave, unknown, unknown, wave],
    ]) {
      // The level of now comes from the season that goes on.
      expect(shape.point(outlookOf([...past.flat(), ...wave], 3))).toBeCloseTo(expected, 5);
    }
    expect(shape.point(outlookOf(wave.slice(0, 5), 3))).toBeNaN();
  });

  test('multiplies by a bounded factor only', () => {
    const jump = [...Array.from({ length: 5 }, () => 0), ...Array.from({ length: 5 }, () => 1000)];
    const level = [1000, 1000, 1000, 1000, 1000];
    const point = shape.point(outlookOf([...jump, ...level], 2));
    expect(point).toBeCloseTo(8 * 1001 - 1, 3);
  });
});

describe('the ridge', () => {
  /** Falls by half and jumps back, every other bucket: neither last value nor mean can follow. */
  const zigzag = Array.from({ length: 99 }, (_, i) => (i % 2 === 0 ? 20 : 10));

  function taught(roots: number[]): Outlook {
    const outlook = outlookOf(roots);
    for (let target = 20; target < roots.length; target++) {
      const past = outlookOf(roots, 1, target - 1);
      learnRidge({ ...past, ridge: outlook.ridge }, roots[target] as number, layout);
    }
    return outlook;
  }

  test('has no opinion before it has seen enough', () => {
    expect(ridge(layout.seasons).point(taught(zigzag.slice(0, 60)))).toBeNaN();
  });

  test('learns what no average knows', () => {
    const outlook = taught(zigzag);
    expect(lastValue.point(outlook)).toBe(20);
    expect(Math.abs(ridge(layout.seasons).point(outlook) - 10)).toBeLessThan(1);
  });

  test('learns nothing from a time without a level', () => {
    const outlook = outlookOf([NaN, NaN, NaN, 4], 1, 2);
    learnRidge(outlook, 4, layout);
    expect(outlook.ridge.rows).toBe(0);
  });
});
