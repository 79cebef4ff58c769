import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { holds, LENGTHS_MS, partitionFor, type TimeRange } from './partition-plan.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW_MS = Date.UTC(2026, 10, 26, 12, 30);
const DECADES_MS = 50 * 364 * DAY_MS;

/** Partitions as they come to be when rows of these times are written one after the other. */
function madeFor(times: number[], { keptMs, nowMs = NOW_MS }: { keptMs: number; nowMs?: number }) {
  const taken: TimeRange[] = [];
  for (const atMs of times)
    if (!taken.some((range) => holds(range, atMs))) taken.push(partitionFor(atMs, { keptMs, nowMs, taken }));
  return taken;
}

test('each length divides the next', () => {
  for (const [i, lengthMs] of LENGTHS_MS.slice(1).entries())
    expect(lengthMs % (LENGTHS_MS[i] as number)).toBe(0);
});

test.each([
  { keptMs: 2 * HOUR_MS, fromMs: Date.UTC(2026, 10, 26, 12), toMs: Date.UTC(2026, 10, 26, 13) },
  { keptMs: 8 * DAY_MS, fromMs: Date.UTC(2026, 10, 26), toMs: Date.UTC(2026, 10, 27) },
  // Weeks of the epoch begin on Thursdays.
  { keptMs: 56 * DAY_MS, fromMs: Date.UTC(2026, 10, 26), toMs: Date.UTC(2026, 11, 3) },
])('now, when $keptMs ms are kept', ({ keptMs, ...range }) => {
  expect(partitionFor(NOW_MS, { keptMs, nowMs: NOW_MS, taken: [] })).toEqual(range);
});

test('a partition fits between those that are there', () => {
  const atMs = Date.UTC(2026, 10, 26, 6);
  const taken = [
    { fromMs: -Infinity, toMs: atMs - 1 },
    { fromMs: atMs + 1, toMs: atMs + 2 },
  ];
  expect(partitionFor(atMs, { keptMs: 8 * DAY_MS, nowMs: NOW_MS, taken })).toEqual({
    fromMs: atMs - 1,
    toMs: atMs + 1,
  });
});

test('whatever is written when, every row has one partition, and there are few', () => {
  const time = fc.integer({ min: NOW_MS - DECADES_MS, max: NOW_MS + HOUR_MS });
  const keptMs = fc.integer({ min: 2 * HOUR_MS, max: 8 * 366 * DAY_MS });
  fc.assert(
    fc.property(fc.array(time, { minLength: 1, maxLength: 300 }), keptMs, (times, kept) => {
      const taken = madeFor(times, { keptMs: kept });
      for (const atMs of times) expect(taken.filter((range) => holds(range, atMs))).toHaveLength(1);
      expect(taken.length).toBeLessThan(200);
    }),
    { numRuns: 200 },
  );
});

test('fifty years of hours end in fewer than two hundred partitions, whatever is kept', () => {
  const hours = Array.from({ length: DECADES_MS / HOUR_MS }, (_, i) => NOW_MS - i * HOUR_MS);
  for (const keptMs of [2 * HOUR_MS, 8 * DAY_MS, 56 * DAY_MS, 8 * 366 * DAY_MS])
    expect(madeFor(hours, { keptMs }).length).toBeLessThan(200);
});

test('what is kept lies in few partitions as time goes on', () => {
  for (const keptMs of [2 * HOUR_MS, 8 * DAY_MS, 56 * DAY_MS, 8 * 366 * DAY_MS]) {
    let taken: TimeRange[] = [];
    for (let nowMs = NOW_MS; nowMs < NOW_MS + 2 * keptMs; nowMs += HOUR_MS) {
      if (!taken.some((range) => holds(range, nowMs)))
        taken.push(partitionFor(nowMs, { keptMs, nowMs, taken }));
      taken = taken.filter(({ toMs }) => toMs > nowMs - keptMs);
    }
    expect(taken.length).toBeLessThan(60);
  }
});
