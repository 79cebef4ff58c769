import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  addToBucket,
  backlogChange,
  emptyBucket,
  inFlightChange,
  MAX_LEVEL,
  parsePartial,
} from './bucket.js';
import {
  sampledPartial,
  sampledPartition,
  sampledToMs,
  serviceAround,
  type DemandSample,
} from './sampled.js';
import { applyPartial, closedArrivals, demandView, newDemandSeries, trail } from './series.js';
import { sketchMean } from './sketch.js';

const T = 1_800_000_000_000;
const S = 1000;
const span = { pool: 'web', partition: sampledPartition('prom'), bucketS: 10, fraction: 0 };
const spanOf = (samples: DemandSample[], toMs = T + samples.length * 10 * S) => ({ ...span, samples, toMs });
const chain = (to: number) => ({ to, backlog: 0, inFlight: 0 });

describe('sampled demand', () => {
  test('continues the chain of its source, whose offsets are times', () => {
    const samples = [{ startMs: T, arrivals: 5 }];
    expect(sampledPartial(spanOf(samples), undefined).partial.range).toEqual({
      partition: span.partition,
      from: -1,
      to: T + 10 * S,
    });
    expect(sampledPartial(spanOf(samples), chain(T)).partial.range.from).toBe(T);
  });

  test('what it makes is what readers of demand read', () => {
    const samples = [
      { startMs: T, arrivals: 5.5, inFlight: 2.4, backlog: 7, service: serviceAround(20, 5.5) },
      { startMs: T + 10 * S, arrivals: 0, inFlight: 2.4, backlog: 7 },
    ];
    const { partial } = sampledPartial(spanOf(samples), chain(T));
    expect(parsePartial(JSON.stringify(partial))).toEqual(partial);
    const series = newDemandSeries({ bucketS: 10, seasonS: 600 });
    expect(applyPartial({ ...partial, range: { ...partial.range, from: -1 } }, series).outcome).toBe(
      'applied',
    );
    const view = demandView({ countedToMs: T + 20 * S }, series);
    expect(view).toMatchObject({ backlog: 7, inFlight: 2 });
    expect(sketchMean(view.serviceMs)).toBeCloseTo(20, 6);
  });

  test('arrivals are whole and none is lost, however small the rate and however it is divided', () => {
    const rates = fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(rates, fc.nat(50), (arrivals, cut) => {
        const samples = arrivals.map((count, i) => ({ startMs: T + i * 10 * S, arrivals: count }));
        const first = sampledPartial(spanOf(samples.slice(0, cut)), chain(T));
        const second = sampledPartial({ ...spanOf(samples.slice(cut)), fraction: first.fraction }, chain(T));
        const sum = emptyBucket(0);
        for (const { partial } of [first, second])
          for (const bucket of partial.buckets) {
            expect(Number.isInteger(bucket.arrivals)).toBe(true);
            addToBucket(sum, bucket);
          }
        const exact = arrivals.reduce((total, count) => total + count, 0);
        expect(Math.abs(sum.arrivals + second.fraction - exact)).toBeLessThan(1e-6);
        // Levels are told, not summed: what arrived has neither waited nor stayed.
        expect([backlogChange(sum), inFlightChange(sum)]).toEqual([0, 0]);
      }),
    );
  });

  test('what was told to be empty is known, what was not told is not; levels tell no arrivals', () => {
    const series = newDemandSeries({ bucketS: 10, seasonS: 600 });
    const told = [0, 1, 4].map((i) => ({ startMs: T + i * 10 * S, arrivals: i === 1 ? 0 : 60 }));
    applyPartial(sampledPartial(spanOf(told, T + 50 * S), undefined).partial, series);
    const span = { fromMs: T, toMs: T + 70 * S };
    const arrivals = (levelsBy?: number[]) =>
      closedArrivals({ ...span, levelsBy }, series).map((bucket) => bucket.arrivals);
    // Beyond what was told, whoever counts events knows that there were none.
    expect(arrivals()).toEqual([60, 0, null, null, 60, 0, 0]);
    expect(arrivals([sampledPartition('prom')])).toEqual([60, 0, 0, 0, 60, 0, 0]);
    const levels = sampledPartial(spanOf([{ startMs: T, backlog: 3 }]), undefined).partial;
    expect(levels.buckets).toEqual([]);
    trail(closedArrivals(span, series), series);
    expect(series.trailing.ratePerS / series.trailing.weight).toBeCloseTo(2.4, 1);
  });

  test('a level that is told replaces, one that a source does not measure any more is over', () => {
    const series = newDemandSeries({ bucketS: 10, seasonS: 600 });
    let to = -1;
    const tell = (sample: Omit<DemandSample, 'startMs'>) => {
      const end = Math.max(to, T) + 10 * S;
      const { partial } = sampledPartial(
        spanOf([{ startMs: end - 10 * S, ...sample }], end),
        series.chains.get(span.partition),
      );
      expect(applyPartial(partial, series).outcome).toBe('applied');
      to = end;
      const { backlog, inFlight } = demandView({ countedToMs: end }, series);
      return [backlog, inFlight];
    };
    expect(tell({ backlog: 9, inFlight: 4 })).toEqual([9, 4]);
    expect(tell({ arrivals: 3, backlog: 9, inFlight: 1 })).toEqual([9, 1]);
    expect(tell({ arrivals: 3, backlog: 2 })).toEqual([2, 0]);
    expect(tell({ arrivals: 3 })).toEqual([0, 0]);
    const nothingTold = sampledPartial(spanOf([], to + 10 * S), chain(to)).partial;
    expect(nothingTold.levels).toBeUndefined();
  });

  test('levels of sources that measure the pool no more do not count; those of events always do', () => {
    const series = newDemandSeries({ bucketS: 10, seasonS: 600 });
    const told = sampledPartial(spanOf([{ startMs: T, backlog: 5_000, inFlight: 3 }]), undefined).partial;
    applyPartial(told, series);
    const queued = { ...emptyBucket(T), arrivals: 7 };
    const range = { partition: 0, from: -1, to: 1 };
    applyPartial({ ...told, range, buckets: [queued], levels: {} }, series);
    const backlog = (sampledBy?: number[]) =>
      demandView({ countedToMs: T + 10 * S, ...(sampledBy && { sampledBy }) }, series).backlog;
    expect([backlog(), backlog([span.partition]), backlog([])]).toEqual([5_007, 5_007, 7]);
  });

  test('what is no number of executions is cut to what one can be, and is not read from others', () => {
    const bytes = { startMs: T, arrivals: 3e15, backlog: 3e9, inFlight: 1e300 };
    const { partial, fraction } = sampledPartial(spanOf([bytes]), undefined);
    expect(partial.levels).toEqual({ backlog: MAX_LEVEL, inFlight: MAX_LEVEL });
    expect([partial.buckets[0]?.arrivals, fraction]).toEqual([1e9, 0]);
    expect(parsePartial(JSON.stringify(partial))).toEqual(partial);
    for (const level of [MAX_LEVEL + 1, -MAX_LEVEL - 1, 0.5])
      expect(parsePartial(JSON.stringify({ ...partial, levels: { backlog: level } }))).toBeUndefined();
  });

  test('sources have partitions of their own, far from those of topics', () => {
    expect(sampledPartition('prom')).toBe(sampledPartition('prom'));
    expect(sampledPartition('prom')).not.toBe(sampledPartition('prom2'));
    fc.assert(
      fc.property(fc.string(), (name) => {
        const partition = sampledPartition(name);
        expect(partition >= 2 ** 30 && partition < 2 ** 31 && Number.isInteger(partition)).toBe(true);
      }),
    );
  });

  test('a pool is known as far as the slowest of its sources; one never heard makes it unknown', () => {
    const chains = new Map([
      [1, chain(T)],
      [2, chain(T + 5)],
    ]);
    expect([sampledToMs([], chains), sampledToMs([1, 2], chains), sampledToMs([2, 3], chains)]).toEqual([
      Infinity,
      T,
      -1,
    ]);
  });
});

test('service times around a mean keep it, and have the spread that they claim', () => {
  const values = serviceAround(20, 100);
  const total = values.reduce((sum, { count }) => sum + count, 0);
  const mean = values.reduce((sum, { valueMs, count }) => sum + valueMs * count, 0) / total;
  const variance = values.reduce((sum, { valueMs, count }) => sum + (valueMs - mean) ** 2 * count, 0) / total;
  expect(total).toBeCloseTo(100, 9);
  expect(mean).toBeCloseTo(20, 9);
  // Ten points leave out the far tail: a little less than one half.
  expect(Math.sqrt(variance) / mean).toBeGreaterThan(0.42);
  expect(Math.sqrt(variance) / mean).toBeLessThan(0.5);
  for (const poison of [0, -1, Number.NaN, Infinity]) expect(serviceAround(poison, 1)).toEqual([]);
});
