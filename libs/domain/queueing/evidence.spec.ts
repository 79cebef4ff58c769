import { expect, test } from '@jest/globals';
import { isSurelyOver } from './evidence.js';

const over = (hits: number, samples: number, allowed = 0.05) =>
  isSurelyOver({ share: hits / samples, samples }, allowed);

test('the same share is proof or chance, by the number of samples', () => {
  expect(over(2, 37)).toBe(false);
  expect([over(2, 30), over(20, 300), over(200, 3000)]).toEqual([false, false, true]);
  expect([over(3, 3), over(29, 29), over(30, 30)]).toEqual([false, false, true]);
});

test('the least number of 100 that is over 5 % with 99 %, and of 1,000 over 1 %', () => {
  // Binomial: P(X ≥ 11 | 100, .05) = .0115, P(X ≥ 12) = .0043; P(X ≥ 18 | 1000, .01) = .0138, P(X ≥ 19) = .0069.
  expect([over(11, 100), over(12, 100)]).toEqual([false, true]);
  expect([over(18, 1000, 0.01), over(19, 1000, 0.01)]).toEqual([false, true]);
});

test('more samples of the same share never prove less, and no number of them proves what is not', () => {
  let before = false;
  for (let samples = 10; samples < 1e9; samples *= 10) {
    expect(over(0.04 * samples, samples)).toBe(false);
    expect(over(0.05 * samples, samples)).toBe(false);
    const now = over(0.1 * samples, samples);
    expect(now || !before).toBe(true);
    before = now;
  }
  expect(before).toBe(true);
});

test('what is no number proves nothing', () => {
  for (const samples of [0, -1, Number.NaN]) expect(isSurelyOver({ share: 1, samples }, 0.05)).toBe(false);
  expect(isSurelyOver({ share: Number.NaN, samples: 100 }, 0.05)).toBe(false);
});
