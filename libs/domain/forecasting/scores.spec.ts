import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { pinballLoss, weightedQuantileLoss } from './scores.js';

describe('scores of quantiles', () => {
  test('too low costs the level, too high the rest of it', () => {
    expect(pinballLoss({ level: 0.9, value: 10 }, 20)).toBeCloseTo(9);
    expect(pinballLoss({ level: 0.9, value: 20 }, 10)).toBeCloseTo(1);
    expect(pinballLoss({ level: 0.5, value: 7 }, 7)).toBe(0);
  });

  test('WQL relates twice the pinball losses to what arrived, missing buckets left out', () => {
    const scored = [
      { quantiles: { levels: [0.5, 0.9], values: [10, 20] }, actual: 16 },
      { quantiles: { levels: [0.5, 0.9], values: [4, 4] }, actual: 4 },
      { quantiles: { levels: [0.5, 0.9], values: [1e9, 1e9] }, actual: null },
    ];
    // 2·(.5·6 + .1·4) over 2 levels and 20 arrivals.
    expect(weightedQuantileLoss(scored, [0.5, 0.9])).toBeCloseTo(6.8 / 40, 12);
  });

  test('WQL of a point forecast is its absolute error relative to the sum, when levels are symmetric', () => {
    const point = { levels: [0.1, 0.5, 0.9], values: [8, 8, 8] };
    const scored = [10, 6].map((actual) => ({ quantiles: point, actual }));
    expect(weightedQuantileLoss(scored, [0.1, 0.5, 0.9])).toBeCloseTo(4 / 16, 12);
  });

  test('WQL does not depend on the unit, and is NaN when nothing arrived', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 1000 }), (value, actual) => {
        const scoredTimes = (unit: number) => [
          { quantiles: { levels: [0.1, 0.99], values: [value * unit, value * unit] }, actual: actual * unit },
        ];
        const loss = weightedQuantileLoss(scoredTimes(1));
        expect(loss).toBeGreaterThanOrEqual(0);
        expect(weightedQuantileLoss(scoredTimes(64))).toBeCloseTo(loss, 6);
      }),
    );
    expect(weightedQuantileLoss([])).toBeNaN();
  });
});
