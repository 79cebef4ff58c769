import type { DemandSeriesRow, DemandStore } from '#adapters/store';
import { bucketStartMs, MAX_AHEAD_MS, type DemandPartial } from '#domain/demand';

/** A pool's buckets of one length. */
export interface BegunSeries extends DemandSeriesRow {
  /** How long they were before; undefined: the pool had none. */
  bucketSBefore?: number;
}

export interface DemandSeriesOptions {
  store: Pick<DemandStore, 'seriesOf' | 'lastBefore'>;
  /** As the configuration says. */
  bucketSOf: (pool: string) => number;
  nowMs: () => number;
}

/**
 * Puts partials into the series of their pools: a bucket of another length counts in the one in which it begins. A series
 * begins with a pool, and with the first partial of another length that is the one in the configuration; what is in the
 * table from before is no part of it any more.
 */
export async function putInSeries(
  partials: DemandPartial[],
  options: DemandSeriesOptions,
): Promise<{ partials: DemandPartial[]; begun: BegunSeries[] }> {
  const pools = new Set(partials.map(({ pool }) => pool));
  const series = new Map((await options.store.seriesOf([...pools])).map((row) => [row.pool, row]));
  const begun = new Map<string, BegunSeries>();
  for (const { pool, bucketS } of partials) {
    const held = series.get(pool);
    // A process with another configuration may begin a pool, and decides nothing of one that is there.
    if (held !== undefined && (held.bucketS === bucketS || options.bucketSOf(pool) !== bucketS)) continue;
    const next =
      held === undefined ? firstOf(pool, bucketS) : await after(held, { bucketS, partials, options });
    series.set(pool, next);
    begun.set(pool, next);
  }
  const lengthOf = (pool: string) => (series.get(pool) as DemandSeriesRow).bucketS;
  return {
    partials: partials.map((partial) => inLength(lengthOf(partial.pool), partial)),
    begun: [...begun.values()],
  };
}

function firstOf(pool: string, bucketS: number): BegunSeries {
  return { pool, bucketS, fromMs: 0 };
}

/** Begins with the first bucket in which nothing of the series before was counted. */
async function after(
  { pool, bucketS: bucketSBefore }: DemandSeriesRow,
  {
    bucketS,
    partials,
    options,
  }: { bucketS: number; partials: DemandPartial[]; options: DemandSeriesOptions },
): Promise<BegunSeries> {
  // A clock that was far ahead once must not keep the pool from beginning.
  const beforeMs = options.nowMs() + MAX_AHEAD_MS;
  const unsaved = partials.filter((partial) => partial.pool === pool && partial.bucketS === bucketSBefore);
  const starts = unsaved.flatMap(({ buckets }) => buckets.map(({ startMs }) => startMs));
  const lastMs = (await options.store.lastBefore({ pool, beforeMs })) ?? 0;
  const endMs = Math.max(lastMs, ...starts.filter((startMs) => startMs < beforeMs)) + bucketSBefore * 1000;
  const bucketMs = bucketS * 1000;
  return { pool, bucketS, bucketSBefore, fromMs: Math.ceil(endMs / bucketMs) * bucketMs };
}

function inLength(bucketS: number, partial: DemandPartial): DemandPartial {
  if (partial.bucketS === bucketS) return partial;
  const buckets = partial.buckets.map((bucket) => {
    return { ...bucket, startMs: bucketStartMs(bucket.startMs, bucketS) };
  });
  return { ...partial, bucketS, buckets };
}
