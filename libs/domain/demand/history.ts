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

/**
 * Steps as buckets of a pool. A step that is longer than a bucket is spread evenly over those it touches, and fractions
 * go over to the next bucket, so that nothing is lost. Buckets without arrivals are left out.
 */
export function rebucketed(steps: Iterable<HistoryStep>, bucketS: number): HistoryBucket[] {
  const sums = new Map<number, number>();
  for (const { startMs, stepMs, arrivals } of steps) {
    for (const { bucketMs, share } of sharesOf({ startMs, stepMs }, bucketS))
      if (arrivals !== null) sums.set(bucketMs, (sums.get(bucketMs) ?? 0) + arrivals * share);
  }
  let rest = 0;
  return [...sums]
    .toSorted(([a], [b]) => a - b)
    .flatMap(([startMs, exact]) => {
      const whole = Math.floor(exact + rest + ROUNDING);
      rest += exact - whole;
      return whole > 0 ? [{ startMs, arrivals: whole }] : [];
    });
}

/** Sums of shares miss whole numbers by this much. */
const ROUNDING = 1e-6;

function* sharesOf(
  { startMs, stepMs }: { startMs: number; stepMs: number },
  bucketS: number,
): Generator<{ bucketMs: number; share: number }> {
  const endMs = startMs + stepMs;
  for (let fromMs = startMs; fromMs < endMs;) {
    const bucketMs = bucketStartMs(fromMs, bucketS);
    const toMs = Math.min(endMs, bucketMs + bucketS * 1000);
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
