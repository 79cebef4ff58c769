import { describe, expect, test } from '@jest/globals';
import { everyOf, rowsOf } from './peers.js';
import type { Series } from './series.js';

const series: Series = {
  name: 'web_waves_10m',
  file: '',
  startMs: Date.UTC(2026, 0, 1),
  bucketS: 600,
  values: new Float64Array(1000),
  steps: [1, 3],
};

describe('forecasts of a peer', () => {
  test('are read by origin and horizon: the bucket starts a horizon after the origin', () => {
    const q = { '0.1': 1, '0.5': 2, '0.9': 3, '0.95': 4, '0.99': 5, '0.999': 6 };
    const line = (at: string, horizonS: number) =>
      JSON.stringify({ origin: `2026-01-01T${at}Z`, bucketS: 600, horizonS, q });
    const text = [line('01:00:00', 600), line('01:00:00', 1800), line('01:00:00', 1200), ''].join('\n');
    const [first, third] = rowsOf(text, series, { first: 7, end: 10 }) as [Float64Array, Float64Array];
    // Origin 6: buckets 7 and 9; nobody asked for two buckets ahead.
    expect([...first.subarray(0, 5)]).toEqual([1, 2, 3, 4, 5]);
    expect([...third.subarray(10, 15)]).toEqual([1, 2, 3, 4, 5]);
    expect([...first.subarray(5), ...third.subarray(0, 10)].every(Number.isNaN)).toBe(true);
  });

  test('from every k-th origin come at all times of day', () => {
    const part = { first: 0, end: 1000 };
    // 16 and 15 share divisors with the 144 buckets of a day, 14 too.
    expect(everyOf({ name: 'x', origins: 60 }, series, part)).toBe(13);
    expect(everyOf({ name: 'x', origins: 2000 }, series, part)).toBe(1);
    expect(everyOf({ name: 'x', origins: undefined }, series, part)).toBe(1);
  });
});
