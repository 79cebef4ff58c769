import type { DemandReader, Downtime, Uncounted } from '#adapters/demand-reader';
import { ARRIVALS_PER_PAGE, type DemandStore } from '#adapters/store';
import { bucketStartMs, type Bucket } from '#domain/demand';
import { learnedBuckets } from '#domain/forecasting';
import type { ForecastStep, ForecastThread } from './forecast-thread.js';
import { forecastSettings, type DuePool } from './forecasted-pool.js';

/** A part of a pool's past. */
export interface PastPiece {
  due: DuePool;
  step: ForecastStep;
  /** End of its last bucket, epoch ms. */
  toMs: number;
}

export interface PoolPastsOptions {
  store: Pick<DemandStore, 'arrivalsPage'>;
  reader: Pick<DemandReader, 'of'>;
  thread: Pick<ForecastThread, 'knows'>;
  downtime: Pick<Downtime, 'of'>;
}

/**
 * What the thread is given of pools that it does not know, piece by piece: pasts are long, and what closes meanwhile must
 * not wait for all of one. The table first, then what the reader has seen since.
 */
export class PoolPasts {
  /** Up to when each past that is under way was given, epoch ms. */
  private readonly givenTo = new Map<string, number>();
  /** Pools of which the table had nothing. */
  private readonly empty = new Set<string>();

  constructor(private readonly options: PoolPastsOptions) {}

  isUnderWay(pool: string): boolean {
    return this.givenTo.has(pool);
  }

  givenToMs(pool: string): number | undefined {
    return this.givenTo.get(pool);
  }

  /** Nothing was counted since the table had nothing: what is counted, the reader sees. */
  isKnownEmpty(pool: string): boolean {
    return this.empty.has(pool) && (this.options.reader.of(pool)?.buckets.size ?? 0) === 0;
  }

  forget(pools: string[]): void {
    for (const pool of pools) {
      this.givenTo.delete(pool);
      this.empty.delete(pool);
    }
  }

  /** The next piece, of at most so many buckets × horizons; undefined: the pool has no past. */
  async next(due: DuePool, maxWork: number): Promise<PastPiece | undefined> {
    const { pool, settings, toMs } = due;
    if (this.isKnownEmpty(pool)) return undefined;
    const forecast = forecastSettings(pool, settings);
    const limit = Math.max(1, Math.min(ARRIVALS_PER_PAGE, Math.floor(maxWork / forecast.horizonsS.length)));
    const bucketMs = settings.bucketS * 1000;
    // A thread that has broken knows nothing of what the one before was given.
    const givenToMs = this.options.thread.knows(pool) ? this.givenTo.get(pool) : undefined;
    const fromMs = givenToMs ?? toMs - learnedBuckets(settings) * bucketMs;
    // Both at once: of many pools each would wait twice behind everybody else who asks the store.
    const [page, uncounted] = await Promise.all([
      this.options.store.arrivalsPage({ pool, fromMs, toMs, limit }),
      this.options.downtime.of(pool, settings),
    ]);
    const seen = this.seenWithin({ pool, fromMs, toMs });
    const firstMs = givenToMs ?? Math.min(...[...page.slice(0, 1), ...seen].map(({ startMs }) => startMs));
    if (firstMs === Infinity) return void this.empty.add(pool);
    const last = page.length < limit ? undefined : page.at(-1);
    const coveredToMs = last === undefined ? toMs : bucketStartMs(last.startMs, settings.bucketS) + bucketMs;
    const startMs = bucketStartMs(firstMs, settings.bucketS);
    const endMs = Math.min(toMs, coveredToMs, startMs + limit * bucketMs);
    const closed = withoutHoles([...page, ...seen], { fromMs: startMs, toMs: endMs, bucketMs, uncounted });
    return { due, step: { settings: forecast, closed }, toMs: endMs };
  }

  /** The thread has taken a piece. True: it was the last one. */
  given({ due: { pool, toMs: dueToMs }, toMs }: PastPiece): boolean {
    this.empty.delete(pool);
    if (toMs < dueToMs) this.givenTo.set(pool, toMs);
    else this.givenTo.delete(pool);
    return toMs >= dueToMs;
  }

  private seenWithin({ pool, fromMs, toMs }: { pool: string; fromMs: number; toMs: number }): Bucket[] {
    const buckets = this.options.reader.of(pool)?.buckets.values() ?? [];
    return [...buckets].filter(({ startMs }) => startMs >= fromMs && startMs < toMs);
  }
}

/** A bucket without events has no row, nor has one in which nobody counted; the later of two counts. */
function withoutHoles(
  counted: readonly { startMs: number; arrivals: number }[],
  given: { fromMs: number; toMs: number; bucketMs: number; uncounted: Uncounted | undefined },
): ForecastStep['closed'] {
  const { fromMs, toMs, bucketMs, uncounted } = given;
  const arrivals = new Map(counted.map((bucket) => [bucket.startMs, bucket.arrivals]));
  const isUncounted = (startMs: number) =>
    uncounted !== undefined && startMs >= uncounted.fromMs && startMs < uncounted.toMs;
  const closed: ForecastStep['closed'] = [];
  for (let startMs = fromMs; startMs < toMs; startMs += bucketMs)
    closed.push({ startMs, arrivals: arrivals.get(startMs) ?? (isUncounted(startMs) ? null : 0) });
  return closed;
}
