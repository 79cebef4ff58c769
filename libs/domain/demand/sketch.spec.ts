import { DDSketch } from '@datadog/sketches-js';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  addToSketch,
  emptySketch,
  LARGEST,
  MAX_BINS,
  mergeInto,
  RELATIVE_ERROR,
  sketchMean,
  sketchQuantile,
  SMALLEST,
  type Sketch,
} from './sketch.js';

const latencies = fc.array(fc.double({ min: 0.01, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 });
const sketchOf = (values: number[]): Sketch => {
  const sketch = emptySketch();
  for (const value of values) addToSketch(sketch, value);
  return sketch;
};
/** The value at the rank that a quantile means. */
const exact = (values: number[], q: number) =>
  [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))];

describe('sketch', () => {
  test('every quantile is within 1 % of the exact one', () => {
    fc.assert(
      fc.property(latencies, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
        const truth = exact(values, q) as number;
        const error = Math.abs((sketchQuantile(sketchOf(values), q) as number) - truth) / truth;
        expect(error).toBeLessThanOrEqual(RELATIVE_ERROR * (1 + 1e-9));
      }),
    );
  });

  test('agrees with the reference implementation', () => {
    fc.assert(
      fc.property(latencies, (values) => {
        const reference = new DDSketch({ relativeAccuracy: RELATIVE_ERROR });
        for (const value of values) reference.accept(value);
        const ours = sketchOf(values);
        for (const q of [0.5, 0.95, 0.99]) {
          const theirs = reference.getValueAtQuantile(q);
          expect(Math.abs((sketchQuantile(ours, q) as number) / theirs - 1)).toBeLessThan(2 * RELATIVE_ERROR);
        }
      }),
    );
  });

  test('parts merge to the whole, in any order', () => {
    fc.assert(
      fc.property(latencies, latencies, (a, b) => {
        const whole = sketchOf([...a, ...b]);
        const merged = sketchOf(b);
        mergeInto(merged, sketchOf(a));
        expect({ ...merged, sum: 0 }).toEqual({ ...whole, sum: 0 });
        expect(merged.sum / whole.sum).toBeCloseTo(1, 9);
      }),
    );
  });

  test('poison is refused, extremes are bounded, nothing is nothing', () => {
    const sketch = emptySketch();
    for (const value of [Number.NaN, -1, Infinity]) expect(addToSketch(sketch, value)).toBe(false);
    expect(sketch).toEqual(emptySketch());
    expect(sketchQuantile(sketch, 0.5)).toBeUndefined();
    expect(sketchMean(sketch)).toBeUndefined();
    for (const value of [0, SMALLEST, LARGEST, Number.MAX_VALUE]) addToSketch(sketch, value);
    expect(sketch.bins.length).toBeLessThanOrEqual(MAX_BINS);
    expect(sketchQuantile(sketch, 0)).toBe(0);
    expect((sketchQuantile(sketch, 1) as number) / LARGEST).toBeCloseTo(1, 1);
    expect(sketchMean(sketchOf([1, 3]))).toBe(2);
  });
});
