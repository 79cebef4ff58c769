import type { DemandStore, ForecastStore } from '#adapters/store';
import { bucketStartMs } from '#domain/demand';

export interface DowntimeOptions {
  demandStore: Pick<DemandStore, 'lastBefore'>;
  forecastStore: Pick<ForecastStore, 'latestOrigins'>;
  nowMs(): number;
}

/** Buckets within [fromMs, toMs), both starts of buckets, epoch ms: without a row they are unknown, not empty. */
export interface Uncounted {
  fromMs: number;
  toMs: number;
}

/**
 * The time before a start in which nobody counted: from the last bucket of a pool of which the table holds something, or
 * from which a forecast was made, to the start. Events of it that come later move its beginning. Of earlier stops nothing
 * is kept.
 */
export class Downtime {
  private startedMs = 0;
  private forecastMs: ReadonlyMap<string, number> = new Map();

  constructor(private readonly options: DowntimeOptions) {}

  /** Takes note of what was forecast up to now: to be called when the service starts. */
  async end(): Promise<void> {
    this.startedMs = this.options.nowMs();
    this.forecastMs = await this.options.forecastStore.latestOrigins();
  }

  /** Undefined: there is none. The bucket in which the start lies belongs to it. */
  async of(
    pool: string,
    { bucketS, sampledBy = [], levelsBy = [] }: Counting,
  ): Promise<Uncounted | undefined> {
    // Whoever measures a pool's arrivals tells what was meanwhile.
    if (sampledBy.some((partition) => !levelsBy.includes(partition))) return undefined;
    const countedMs = await this.options.demandStore.lastBefore({ pool, beforeMs: this.startedMs });
    const lastMs = Math.max(countedMs ?? -Infinity, this.forecastMs.get(pool) ?? -Infinity);
    const bucketMs = bucketS * 1000;
    const fromMs = bucketStartMs(lastMs, bucketS) + bucketMs;
    const toMs = Math.ceil(this.startedMs / bucketMs) * bucketMs;
    return fromMs < toMs ? { fromMs, toMs } : undefined;
  }
}

interface Counting {
  bucketS: number;
  /** Partitions of the sources that measure the pool. */
  sampledBy?: readonly number[];
  /** Those of them that tell no arrivals. */
  levelsBy?: readonly number[];
}
