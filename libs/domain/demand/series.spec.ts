import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { addToBucket, emptyBucket, type Bucket, type BucketCounts, type DemandPartial } from './bucket.js';
import {
  applyPartial,
  closedArrivals,
  demandView,
  MAX_AHEAD_MS,
  newDemandSeries,
  putBucket,
  trail,
  trailSpan,
  WINDOW_BUCKETS,
  type DemandSeries,
} from './series.js';
import { addToSketch, sketchMean, sketchQuantile } from './sketch.js';

const T0 = 1_800_000_000_000;
const S = 1000;
const at = (s: number) => T0 + s * S;

function bucket(s: number, counts: Partial<BucketCounts> = {}, serviceMs: number[] = []): Bucket {
  const made = { ...emptyBucket(at(s)), ...counts };
  for (const value of serviceMs) {
    addToSketch(made.serviceMs, value);
    addToSketch(made.responseMs, value + 1);
  }
  return made;
}
function partial(range: [partition: number, from: number, to: number], ...buckets: Bucket[]): DemandPartial {
  const [partition, from, to] = range;
  return { v: 1, pool: 'web', bucketS: 1, range: { partition, from, to }, watermarkMs: 0, buckets };
}
const newSeries = (bucketS = 1) => newDemandSeries({ bucketS, seasonS: 60 });
const arrivalsOf = ({ buckets }: DemandSeries) =>
  Object.fromEntries([...buckets].map(([startMs, { arrivals }]) => [(startMs - T0) / S, arrivals]));

/** Chains of several partitions, with the buckets their partials touch. */
const changes = fc.array(
  fc.record({
    partition: fc.nat(2),
    buckets: fc.uniqueArray(
      fc.record({ s: fc.nat(30), arrivals: fc.nat(9), retries: fc.nat(3), starts: fc.nat(9) }),
      { selector: ({ s }) => s, maxLength: 4 },
    ),
  }),
  { maxLength: 25 },
);
function chainOf(all: { partition: number; buckets: ({ s: number } & Partial<BucketCounts>)[] }[]) {
  const ends = new Map<number, number>();
  return all.map(({ partition, buckets }, i) => {
    const from = ends.get(partition) ?? -1;
    ends.set(partition, i);
    return partial([partition, from, i], ...buckets.map(({ s, ...counts }) => bucket(s, counts)));
  });
}
const apply = (partials: DemandPartial[], series: DemandSeries) =>
  partials.map((one) => applyPartial(one, series).outcome);

test('a pool with few executions keeps the sketches it needs', () => {
  const series = newSeries();
  for (let s = 0; s < 60; s++)
    applyPartial(partial([0, s === 0 ? -1 : s, s + 1], bucket(s, { arrivals: 1 }, [20])), series);
  expect(demandView({ countedToMs: at(60) }, series).serviceMs.count).toBe(60);
});

test('response times are those of the last ten seconds: what was long ago is felt by nobody now', () => {
  const series = newSeries();
  for (let s = 0; s < 60; s++)
    applyPartial(partial([0, s === 0 ? -1 : s, s + 1], bucket(s, { arrivals: 1 }, [20])), series);
  expect(demandView({ countedToMs: at(60) }, series).responseMs.count).toBe(10);
  expect(demandView({ countedToMs: at(65) }, series).responseMs.count).toBe(5);
  expect(demandView({ countedToMs: at(80) }, series).responseMs.count).toBe(0);
});

describe('laws', () => {
  test('the series is the sum of its partials, whatever the order of the partitions', () => {
    fc.assert(
      fc.property(changes, (all) => {
        const partials = chainOf(all);
        const series = newSeries();
        expect(apply(partials, series).every((outcome) => outcome === 'applied')).toBe(true);
        const sums = new Map<number, Bucket>();
        for (const change of partials.flatMap(({ buckets }) => buckets)) {
          const sum = sums.get(change.startMs) ?? emptyBucket(change.startMs);
          addToBucket(sum, change);
          sums.set(change.startMs, sum);
        }
        expect(series.buckets).toEqual(sums);
        const other = newSeries();
        apply(
          Array.from(partials).sort((a, b) => a.range.partition - b.range.partition),
          other,
        );
        expect(other.buckets).toEqual(series.buckets);
        expect(other.chains).toEqual(series.chains);
      }),
    );
  });

  test('what is read again after a restart is seen and changes nothing', () => {
    fc.assert(
      fc.property(changes, fc.nat(25), (all, back) => {
        const partials = chainOf(all);
        const series = newSeries();
        apply(partials, series);
        const before = structuredClone(series.buckets);
        const chains = structuredClone(series.chains);
        const again = apply(partials.slice(-back), series);
        expect(again.every((outcome) => outcome === 'seen')).toBe(true);
        expect([...series.buckets]).toEqual([...before]);
        expect([...series.chains]).toEqual([...chains]);
      }),
    );
  });

  test('a lost partial is a gap, once, and what follows still counts', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 10 }), fc.nat(8), (count, lost) => {
        const partials = chainOf(
          Array.from({ length: count }, (_, i) => ({ partition: 0, buckets: [{ s: i, arrivals: 1 }] })),
        );
        partials.splice(lost % (count - 1), 1);
        const outcomes = apply(partials, newSeries());
        expect(outcomes.filter((outcome) => outcome === 'gap')).toHaveLength(1);
        expect(outcomes).not.toContain('seen');
      }),
    );
  });

  test('the window keeps the newest buckets, and never hands out the sum of a part', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uniqueArray(fc.nat(400), { minLength: 1, maxLength: 60 }), { maxLength: 12 }),
        (steps) => {
          const series = newSeries();
          const sums = new Map<number, number>();
          const all = steps.map((seconds, i) =>
            partial([0, i - 1, i], ...seconds.map((s) => bucket(s, { arrivals: 1 }))),
          );
          for (const one of all) {
            for (const { startMs } of one.buckets) sums.set(startMs, (sums.get(startMs) ?? 0) + 1);
            const { changed } = applyPartial(one, series);
            for (const { startMs, arrivals } of changed) expect(arrivals).toBe(sums.get(startMs));
            expect(series.buckets.size).toBe(Math.min(WINDOW_BUCKETS, sums.size));
          }
          const newest = [...sums].sort(([a], [b]) => b - a).slice(0, WINDOW_BUCKETS);
          for (const [startMs, arrivals] of newest) {
            expect(series.buckets.get(startMs)?.arrivals).toBe(arrivals);
          }
        },
      ),
    );
  });
});

describe('view', () => {
  test('the rate covers closed buckets of the last two seconds; the open bucket is not part of it', () => {
    const series = newSeries();
    const seconds = [100, 10, 30, 70].map((arrivals, s) => bucket(s, { arrivals }));
    applyPartial(partial([0, -1, 5], ...seconds), series);
    expect(demandView({ countedToMs: at(3.9) }, series)).toMatchObject({
      asOfMs: at(3),
      arrivalRatePerS: 20,
    });
    expect(demandView({ countedToMs: at(4) }, series)).toMatchObject({ asOfMs: at(4), arrivalRatePerS: 50 });
    expect(demandView({ countedToMs: at(9) }, series).arrivalRatePerS).toBe(0); // silence is a rate of 0
  });

  test('attempts per arrival: retries of the newest buckets, 1 while nothing can be told, bounded', () => {
    const ratioOf = (...buckets: Bucket[]) => {
      const series = newSeries();
      applyPartial(partial([0, -1, 5], ...buckets), series);
      return demandView({ countedToMs: at(60) }, series).attemptsPerArrival;
    };
    expect(ratioOf()).toBe(1);
    expect(ratioOf(bucket(0, { arrivals: 3, retries: 9 }))).toBe(1);
    expect(ratioOf(bucket(0, { retries: 50 }))).toBe(1);
    expect(ratioOf(bucket(0, { arrivals: 60, retries: 10 }), bucket(1, { arrivals: 40, retries: 40 }))).toBe(
      1.5,
    );
    // Two hundred arrivals suffice: what was before does not count.
    expect(ratioOf(bucket(0, { arrivals: 900 }), bucket(1, { arrivals: 200, retries: 100 }))).toBe(1.5);
    expect(ratioOf(bucket(0, { arrivals: 20, retries: 1000 }))).toBe(4);
    expect(ratioOf(bucket(60, { arrivals: 200, retries: 200 }))).toBe(1); // still open
  });

  test('a longer bucket is its own rate window', () => {
    const series = newSeries(10);
    applyPartial(partial([0, -1, 5], bucket(0, { arrivals: 50 }), bucket(10, { arrivals: 200 })), series);
    expect(demandView({ countedToMs: at(20) }, series).arrivalRatePerS).toBe(20);
    expect(demandView({ countedToMs: at(19) }, series).arrivalRatePerS).toBe(5);
  });

  test('an empty series has no demand and says as of when', () => {
    const view = demandView({ countedToMs: at(3) }, newSeries());
    const nothing = { arrivalRatePerS: 0, backlog: 0, inFlight: 0, trailingRatePerS: 0 };
    expect(view).toMatchObject({
      ...nothing,
      asOfMs: at(3),
      serviceMs: { count: 0 },
      responseMs: { count: 0 },
    });
  });

  test('backlog and in-flight are sums over partitions and outlive the window', () => {
    const series = newSeries();
    applyPartial(
      partial([0, -1, 1], bucket(0, { arrivals: 9, retries: 1, starts: 4, abandonments: 1 })),
      series,
    );
    applyPartial(
      partial([1, -1, 1], bucket(0, { arrivals: 5, starts: 5, completions: 2, failures: 1 })),
      series,
    );
    expect(demandView({ countedToMs: at(1) }, series)).toMatchObject({ backlog: 5, inFlight: 6 });
    for (let s = 1; s <= WINDOW_BUCKETS; s++) applyPartial(partial([0, s, s + 1], bucket(s)), series);
    applyPartial(partial([1, 1, 2], bucket(0, { expiredQueued: 1, expiredStarted: 2 })), series);
    expect(series.buckets.has(at(0))).toBe(false);
    expect(demandView({ countedToMs: at(1) }, series)).toMatchObject({ backlog: 4, inFlight: 4 });
  });

  test('after a gap the numbers may be wrong, but never below zero', () => {
    const series = newSeries();
    applyPartial(partial([0, 7, 9], bucket(0, { starts: 3, completions: 5 })), series);
    expect(demandView({ countedToMs: at(1) }, series)).toMatchObject({ backlog: 0, inFlight: 0 });
  });

  test('service times are those of the newest 500 attempts; an idle pool keeps the last ones', () => {
    const series = newSeries();
    applyPartial(partial([0, -1, 1], bucket(0, {}, Array(600).fill(100))), series);
    applyPartial(partial([0, 1, 2], bucket(1, {}, Array(600).fill(20))), series);
    const { serviceMs, responseMs } = demandView({ countedToMs: at(2) }, series);
    expect(sketchMean(serviceMs)).toBe(20);
    expect(sketchMean(responseMs)).toBe(21);
    for (let s = 2; s < 400; s++) applyPartial(partial([0, s, s + 1], bucket(s, { arrivals: 1 })), series);
    const idle = demandView({ countedToMs: at(400) }, series).serviceMs;
    expect(idle.count).toBe(900); // 600 of weight ½, 600 of weight 1
    expect(sketchQuantile(idle, 0.5)).toBeCloseTo(20, 0);
  });

  test('sketches are kept where a view may need them, counts everywhere', () => {
    const series = newSeries();
    const samples = Array.from({ length: 200 }, () => 20);
    for (let s = 0; s < 50; s++)
      applyPartial(partial([0, s - 1, s], bucket(s, { arrivals: 1 }, samples)), series);
    const sketched = [...series.buckets.values()].filter(({ serviceMs }) => serviceMs.count > 0);
    expect(sketched.map(({ startMs }) => (startMs - T0) / S)).toEqual([46, 47, 48, 49]);
    expect(Object.values(arrivalsOf(series))).toHaveLength(50);
    expect(demandView({ countedToMs: at(49) }, series).serviceMs.count).toBeGreaterThanOrEqual(500);
  });

  test('one slow attempt after a long silence does not replace what was known', () => {
    const series = newSeries();
    applyPartial(partial([0, -1, 1], bucket(0, {}, Array(1000).fill(20))), series);
    for (let s = 1; s < 200; s++) applyPartial(partial([0, s, s + 1], bucket(s)), series);
    applyPartial(partial([0, 200, 201], bucket(200, {}, [5000])), series);
    const { serviceMs } = demandView({ countedToMs: at(201) }, series);
    expect(serviceMs.count).toBe(501);
    expect(sketchQuantile(serviceMs, 0.9)).toBeCloseTo(20, 0);
  });
});

describe('a clock that goes back', () => {
  const feed = (series: DemandSeries, s: number, arrivals: number) => {
    const from = series.chains.get(0)?.to ?? -1;
    return applyPartial(partial([0, from, from + 1], bucket(s, { arrivals })), series, at(s + 1));
  };

  test('what it left ahead neither hides the present nor pushes it out', () => {
    const series = newSeries();
    for (let s = 0; s < 400; s++) feed(series, s, 100);
    for (let s = -3600; s < -3540; s++) expect(feed(series, s, 70).changed).toHaveLength(1);
    expect(demandView({ countedToMs: at(-3540) }, series).arrivalRatePerS).toBe(70);
    const closed = closedArrivals({ fromMs: at(-3660), toMs: at(-3540) }, series);
    // What was dropped is not "empty", and the bucket in which the clock went back may be half of one.
    expect(closed.map(({ arrivals }) => arrivals)).toEqual(Array(59).fill(70));
  });

  test('the trailing mean goes on from the present', () => {
    const series = newSeries();
    for (let s = 0; s < 400; s++) feed(series, s, 100);
    trail(closedArrivals({ fromMs: 0, toMs: at(400) }, series), series);
    for (let s = -3600; s < -3500; s++) feed(series, s, 0);
    trail(closedArrivals({ fromMs: series.trailing.untilMs, toMs: at(-3500) }, series), series);
    expect(series.trailing.untilMs).toBe(at(-3500));
    expect(demandView({ countedToMs: at(-3500) }, series).trailingRatePerS).toBeLessThan(70);
  });

  test('a bucket too far ahead counts in the backlog only; one as far as senders may be wrong counts', () => {
    const series = newSeries();
    const aheadS = MAX_AHEAD_MS / S;
    const both = [bucket(aheadS, { arrivals: 2 }), bucket(aheadS + 1, { arrivals: 3 })];
    expect(applyPartial(partial([0, -1, 1], ...both), series, at(0)).outcome).toBe('applied');
    expect(arrivalsOf(series)).toEqual({ [aheadS]: 2 });
    expect(demandView({ countedToMs: at(0) }, series).backlog).toBe(5);
  });
});

describe('history', () => {
  test('closed buckets come without holes, as far back as the window reaches', () => {
    const series = newSeries();
    putBucket(bucket(1, { arrivals: 3 }), series);
    putBucket(bucket(4, { arrivals: 5 }), series);
    const closed = closedArrivals({ fromMs: at(0), toMs: at(6) }, series);
    expect(closed.map(({ arrivals }) => arrivals)).toEqual([0, 3, 0, 0, 5, 0]);
    expect(closed[0]?.startMs).toBe(at(0));
    expect(closedArrivals({ fromMs: 0, toMs: at(6) }, series)).toHaveLength(WINDOW_BUCKETS);
    expect(arrivalsOf(series)).toEqual({ 1: 3, 4: 5 }); // reading changes nothing
  });

  test('a bucket that was dropped is left out, not reported as empty', () => {
    const series = newSeries();
    for (let s = 0; s < WINDOW_BUCKETS + 30; s++) putBucket(bucket(s, { arrivals: 1 }), series);
    const closed = closedArrivals({ fromMs: at(0), toMs: at(60) }, series);
    expect(closed.map(({ startMs }) => startMs)).toEqual(Array.from({ length: 30 }, (_, i) => at(30 + i)));
    expect(closed.every(({ arrivals }) => arrivals === 1)).toBe(true);
  });

  test('the trailing mean is unbiased from its first bucket and each bucket counts once', () => {
    const series = newSeries();
    const closed = Array.from({ length: 50 }, (_, s) => ({ startMs: at(s), arrivals: 7 }));
    for (let n = 1; n <= closed.length; n++) {
      trail(closed.slice(0, n), series);
      expect(demandView({ countedToMs: at(n) }, series).trailingRatePerS).toBeCloseTo(7, 9);
    }
  });

  test('half of the trailing mean is as old as three and a half seasons', () => {
    const series = newSeries();
    const halfS = 3.5 * 60;
    const fill = (fromS: number, toS: number, arrivals: number) =>
      trail(
        Array.from({ length: toS - fromS }, (_, i) => ({ startMs: at(fromS + i), arrivals })),
        series,
      );
    fill(0, 50 * halfS, 100);
    fill(50 * halfS, 51 * halfS, 0);
    expect(demandView({ countedToMs: at(51 * halfS) }, series).trailingRatePerS).toBeCloseTo(50, 6);
  });

  test('spans that were summed elsewhere move the trailing mean as their buckets do', () => {
    const [each, summed] = [newSeries(), newSeries()];
    const closed = Array.from({ length: 500 }, (_, s) => ({ startMs: at(s), arrivals: (s * 7) % 31 }));
    trail(closed, each);
    const halfLifeMs = each.trailing.halfLifeS * S;
    for (const [from, to] of [
      [0, 300],
      [300, 301],
      [301, 500],
    ] as const) {
      const fadedArrivals = closed
        .slice(from, to)
        .reduce((sum, { startMs, arrivals }) => sum + arrivals * 0.5 ** ((at(to) - startMs) / halfLifeMs), 0);
      trailSpan({ fromMs: at(from), toMs: at(to), fadedArrivals }, summed);
    }
    expect(summed.trailing.ratePerS).toBeCloseTo(each.trailing.ratePerS, 9);
    expect(summed.trailing.weight).toBeCloseTo(each.trailing.weight, 9);
    expect(summed.trailing.untilMs).toBe(each.trailing.untilMs);
  });
});
