import { bucketStartMs, emptyBucket, type DemandPartial } from './bucket.js';
import { sampledPartition } from './sampled.js';

/** What arrived in [startMs, startMs + stepMs), as another system kept it; null: it does not know. */
export interface HistoryStep {
  startMs: number;
  stepMs: number;
  arrivals: number | null;
}

export interface HistoryBucket {
  startMs: number;
  /** Whole. */
  arrivals: number;
}

/** Buckets of [fromMs, toMs), which are the ends of buckets. */
export interface HistorySpan {
  fromMs: number;
  toMs: number;
  bucketS: number;
}

/**
 * What of the steps lies in the buckets of the span. A step that is longer than a bucket is spread evenly over those it
 * touches, and fractions go over to the next bucket, so that less than one arrival is lost. Buckets of which no step is
 * known are left out. `fraction`: what the span before has left over, < 1.
 */
export function rebucketed(
  steps: Iterable<HistoryStep>,
  span: HistorySpan,
  fraction = 0,
): { buckets: HistoryBucket[]; fraction: number } {
  const sums = new Map<number, number>();
  for (const step of steps) {
    const { arrivals } = step;
    if (arrivals === null) continue;
    for (const { bucketMs, share } of sharesOf(step, span))
      sums.set(bucketMs, (sums.get(bucketMs) ?? 0) + arrivals * share);
  }
  let rest = fraction;
  const buckets = [...sums]
    .toSorted(([a], [b]) => a - b)
    .map(([startMs, exact]) => {
      const whole = Math.floor(exact + rest + ROUNDING);
      rest += exact - whole;
      return { startMs, arrivals: whole };
    });
  return { buckets, fraction: rest };
}

/** Sums of shares miss whole numbers by this much. */
const ROUNDING = 1e-6;

function* sharesOf(
  { startMs, stepMs }: HistoryStep,
  span: HistorySpan,
): Generator<{ bucketMs: number; share: number }> {
  const endMs = Math.min(startMs + stepMs, span.toMs);
  for (let fromMs = Math.max(startMs, span.fromMs); fromMs < endMs;) {
    const bucketMs = bucketStartMs(fromMs, span.bucketS);
    const toMs = Math.min(endMs, bucketMs + span.bucketS * 1000);
    yield { bucketMs, share: (toMs - fromMs) / stepMs };
    fromMs = toMs;
  }
}

/** The partition under which a history that is brought in enters demand: none of a source that measures. */
export function historyPartition(name: string): number {
  return sampledPartition(`history/${name}`);
}

/** What a history adds to a pool: it waited for nobody, and nothing of it is left. */
export function historyPartial(given: {
  pool: string;
  bucketS: number;
  range: DemandPartial['range'];
  buckets: readonly HistoryBucket[];
}): DemandPartial {
  const { pool, bucketS, range } = given;
  const buckets = given.buckets.map(({ startMs, arrivals }) => {
    return { ...emptyBucket(startMs), arrivals, starts: arrivals, completions: arrivals };
  });
  return { v: 1, pool, bucketS, range, watermarkMs: range.to, buckets };
}

/** Tells the readers of demand that the past of a pool has changed, once the table has all of it up to `toMs`. */
export function historyEnd(given: {
  pool: string;
  bucketS: number;
  partition: number;
  toMs: number;
}): DemandPartial {
  const { pool, bucketS, partition, toMs } = given;
  const range = { partition, from: toMs, to: toMs };
  return { v: 1, pool, bucketS, range, watermarkMs: toMs, buckets: [], history: true };
}
