import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  historyEnd,
  historyPartial,
  historyPartition,
  rebucketed,
  type HistoryBucket,
  type HistorySpan,
  type HistoryStep,
} from './history.js';
import { parsePartial } from './bucket.js';
import { applyPartial, demandView, newDemandSeries } from './series.js';

const T = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const steps = (stepMs: number, arrivals: (number | null)[], startMs = T): HistoryStep[] =>
  arrivals.map((count, i) => ({ startMs: startMs + i * stepMs, stepMs, arrivals: count }));

const bucketsOf = (given: HistoryStep[], span: HistorySpan) => rebucketed(given, span).buckets;

/** Everything, in buckets of a minute. */
const ALL = { fromMs: 0, toMs: 2 * T, bucketS: 60 };

describe('steps as buckets', () => {
  test('as long as a bucket, shorter, and longer', () => {
    expect(bucketsOf(steps(MINUTE_MS, [3, null, 0, 5]), ALL)).toEqual([
      { startMs: T, arrivals: 3 },
      { startMs: T + 2 * MINUTE_MS, arrivals: 0 },
      { startMs: T + 3 * MINUTE_MS, arrivals: 5 },
    ]);
    expect(bucketsOf(steps(20_000, [1, 2, 3, 4]), ALL)).toEqual([
      { startMs: T, arrivals: 6 },
      { startMs: T + MINUTE_MS, arrivals: 4 },
    ]);
    expect(bucketsOf(steps(3 * MINUTE_MS, [7]), ALL).map(({ arrivals }) => arrivals)).toEqual([2, 2, 3]);
  });

  test('a step that lies across two buckets is divided by its time in each', () => {
    expect(bucketsOf(steps(MINUTE_MS, [60], T - 15_000), ALL)).toEqual([
      { startMs: T - MINUTE_MS, arrivals: 15 },
      { startMs: T, arrivals: 45 },
    ]);
  });

  test('of a step that reaches beyond the span, however far, its part within it', () => {
    const centuryMs = 100 * 366 * 86_400_000;
    const within = { fromMs: T, toMs: T + 2 * MINUTE_MS, bucketS: 60 };
    const century = steps(2 * centuryMs, [(2 * centuryMs) / MINUTE_MS], T - centuryMs);
    expect(bucketsOf(century, within)).toEqual([
      { startMs: T, arrivals: 1 },
      { startMs: T + MINUTE_MS, arrivals: 1 },
    ]);
    expect(bucketsOf(steps(MINUTE_MS, [1, 2, 3, 4], T - MINUTE_MS), within)).toEqual([
      { startMs: T, arrivals: 2 },
      { startMs: T + MINUTE_MS, arrivals: 3 },
    ]);
  });

  test('all arrivals are in some bucket, whole, in order, whatever the lengths', () => {
    const counts = fc.array(fc.oneof(fc.nat(50), fc.constant(null)), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(
        counts,
        fc.integer({ min: 1, max: 400 }),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 300 }),
        (arrivals, stepS, phaseMs, bucketS) => {
          const buckets = bucketsOf(steps(stepS * 1000, arrivals, T + phaseMs), { ...ALL, bucketS });
          const sum = buckets.reduce((total, bucket) => total + bucket.arrivals, 0);
          expect(sum).toBe(arrivals.reduce<number>((total, count) => total + (count ?? 0), 0));
          for (const [i, { startMs, arrivals: count }] of buckets.entries()) {
            expect(startMs % (bucketS * 1000)).toBe(0);
            expect(Number.isInteger(count) && count >= 0).toBe(true);
            expect(startMs).toBeGreaterThan(buckets[i - 1]?.startMs ?? 0);
          }
        },
      ),
    );
  });

  test('piece by piece the same as at once: fractions go over to the next piece', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(9), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 400 }),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 7 }),
        (arrivals, stepS, phaseMs, pieceBuckets) => {
          const given = steps(stepS * 1000, arrivals, T + phaseMs);
          const whole = { fromMs: T, toMs: T + 42 * 400 * 1000, bucketS: 60 };
          const pieceMs = pieceBuckets * MINUTE_MS;
          const found: HistoryBucket[] = [];
          let fraction = 0;
          for (let { fromMs } = whole; fromMs < whole.toMs; fromMs += pieceMs) {
            const toMs = Math.min(whole.toMs, fromMs + pieceMs);
            const piece = rebucketed(given, { ...whole, fromMs, toMs }, fraction);
            fraction = piece.fraction;
            found.push(...piece.buckets);
          }
          expect(found).toEqual(bucketsOf(given, whole));
        },
      ),
    );
  });
});

test('a history adds arrivals and leaves nothing waiting; its end tells readers once more', () => {
  const partition = historyPartition('csv');
  const place = { pool: 'web', bucketS: 60 };
  const buckets = [{ startMs: T, arrivals: 30 }];
  const range = { partition, from: -1, to: T + MINUTE_MS };
  const partial = historyPartial({ ...place, range, buckets });
  const end = historyEnd({ ...place, partition, toMs: range.to });
  expect(parsePartial(JSON.stringify(partial))).toEqual(partial);
  expect(parsePartial(JSON.stringify(end))).toEqual({ ...end, history: true });
  const series = newDemandSeries({ bucketS: 60, seasonS: 3600 });
  expect([partial, end, end].map((one) => applyPartial(one, series).outcome)).toEqual([
    'applied',
    'applied',
    'applied',
  ]);
  expect(applyPartial(partial, series).outcome).toBe('seen');
  expect(demandView({ countedToMs: T + MINUTE_MS }, series)).toMatchObject({
    backlog: 0,
    inFlight: 0,
    arrivalRatePerS: 0.5,
  });
});
