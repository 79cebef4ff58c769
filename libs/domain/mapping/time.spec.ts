import { expect, test } from '@jest/globals';
import { durationOf, likelyUnit, timeOf, type TimeUnit } from './time.js';

const T = Date.UTC(2026, 10, 24, 10, 0, 0);

test.each<[unknown, TimeUnit, number]>([
  [T / 1000, 's', T],
  [T / 1000 + 0.25, 's', T + 250],
  [T, 'ms', T],
  [String(T), 'ms', T],
  [T * 1000 + 500, 'us', T + 0.5],
  [`${T}250000`, 'ns', T + 0.25],
  ['2026-11-24T10:00:00Z', 'iso', T],
  ['2026-11-24T10:00:00', 'iso', T],
  ['2026-11-24 10:00', 'iso', T],
  ['2026-11-24T12:00:00.123456789+02:00', 'iso', T + 123.456789],
  ['2026-11-24T12:00:00,5+0200', 'iso', T + 500],
  ['2026-11-24T05:00:00-05', 'iso', T],
])('%j in %s', (value, unit, expected) => {
  expect(timeOf(value, unit)).toBeCloseTo(expected, 3);
});

test.each<[unknown, TimeUnit]>([
  [undefined, 'ms'],
  [null, 'iso'],
  ['', 's'],
  [0, 'ms'],
  ['0', 'ms'],
  ['0001-01-01T00:00:00Z', 'iso'],
  [-62_135_596_800, 's'],
])('%j in %s did not happen', (value, unit) => {
  expect(timeOf(value, unit)).toBe('nothing');
});

test.each<[unknown, TimeUnit]>([
  [Number.NaN, 'ms'],
  [Infinity, 's'],
  ['1e400', 'ms'],
  ['-5', 'ms'],
  ['2026-11-24T10:00:00Z', 'ms'],
  [T, 'iso'],
  ['2026-02-30T10:00:00Z', 'iso'],
  ['2026-11-24T25:00:00Z', 'iso'],
  ['yesterday', 'iso'],
  [true, 's'],
  [{ seconds: 1 }, 's'],
  // In the wrong unit a time lies in 1970, or thousands of years ahead.
  [T / 1000, 'ms'],
  [T, 'us'],
  [T, 's'],
  [T * 1000, 'ms'],
  ['1999-12-31T23:59:59Z', 'iso'],
])('%j in %s is unreadable', (value, unit) => {
  expect(timeOf(value, unit)).toBe('unreadable');
});

test.each<[unknown, TimeUnit | undefined]>([
  [T / 1000, 's'],
  [String(T), 'ms'],
  [T * 1000, 'us'],
  [T * 1e6, 'ns'],
  ['2026-11-24', undefined],
  ['2026-11-24 10:00', 'iso'],
  [5, undefined],
  [null, undefined],
])('%j is most likely in %s', (value, unit) => {
  expect(likelyUnit(value)).toBe(unit);
});

test('a duration may be 0, and never less', () => {
  expect(durationOf(1.5, 's')).toBe(1500);
  expect(durationOf('0', 'ms')).toBe(0);
  expect(durationOf(null, 'ms')).toBe('nothing');
  expect(durationOf(-1, 'ms')).toBe('unreadable');
  expect(durationOf('long', 'ms')).toBe('unreadable');
});
