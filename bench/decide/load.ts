import {
  addToBucket,
  addToSketch,
  bucketStartMs,
  emptyBucket,
  type Bucket,
  type DemandPartial,
} from '#domain/demand';
import { createRandom, drawLognormal, type Random } from '#domain/simulation';

export const BUCKET_S = 60;
export const BUCKET_MS = BUCKET_S * 1000;
export const DAY_S = 86_400;
export const BUCKETS_PER_DAY = DAY_S / BUCKET_S;
/** Source partitions that each pool's demand comes from. */
export const PARTITIONS = 4;
const SERVICE = { mean: 20, cv: 0.5 };
/** Mean rates of pools, requests per second: as many between 1 and 2 as between 25 and 50. */
const RATES = { least: 1, most: 50 };
const NIGHT_RATIO = 0.3;
/** Drawn once: what a partial's sketches look like does not depend on the pool. */
const DRAWN_BUCKETS = 16;
/** Different loads; further pools have the same ones with their own chance. */
export const LOADS = 200;

/** Start of the first bucket, epoch ms. */
export const FIRST_MS = bucketStartMs(1_764_000_000_000, DAY_S);

/** The loads of many pools: a day's wave of their own height and phase, and chance. */
export class Loads {
  private readonly random: Random;
  private readonly pools: { ratePerS: number; phase: number }[];
  private readonly drawn: Map<number, Bucket[]> = new Map();

  constructor({ seed }: { seed: number }) {
    this.random = createRandom(seed);
    this.pools = Array.from({ length: LOADS }, () => ({
      ratePerS: RATES.least * (RATES.most / RATES.least) ** this.random(),
      phase: this.random(),
    }));
  }

  /** Arrivals of a bucket: the wave, and Gaussian noise of a Poisson count's size. */
  arrivals(pool: number, bucket: number): number {
    const { ratePerS, phase } = this.pools[pool % LOADS] as { ratePerS: number; phase: number };
    const wave =
      NIGHT_RATIO + (1 - NIGHT_RATIO) * (1 - Math.cos(2 * Math.PI * (bucket / BUCKETS_PER_DAY + phase)));
    const mean = ratePerS * BUCKET_S * wave;
    const noise = this.random() + this.random() + this.random() + this.random() - 2;
    return Math.max(0, Math.round(mean + noise * Math.sqrt(3 * mean)));
  }

  /** What each source partition adds to a pool's bucket: a fourth of its arrivals, all of them served. */
  partials(pool: number, bucket: number, arrivals: number): DemandPartial[] {
    return Array.from({ length: PARTITIONS }, (_, partition) => ({
      v: 1,
      pool: `pool-${pool}`,
      bucketS: BUCKET_S,
      range: { partition, from: bucket, to: bucket + 1 },
      watermarkMs: FIRST_MS + (bucket + 1) * BUCKET_MS,
      buckets: [this.bucketOf(Math.floor((arrivals + partition) / PARTITIONS), bucket)],
    }));
  }

  /** A whole bucket as a reader has added it up. */
  bucket(pool: number, bucket: number): Bucket {
    const sums = emptyBucket(FIRST_MS + bucket * BUCKET_MS);
    addToBucket(sums, this.bucketOf(this.arrivals(pool, bucket), bucket));
    return sums;
  }

  /** Its sketches are shared, of a number of executions rounded by 7 %. */
  private bucketOf(executions: number, bucket: number): Bucket {
    const size = Math.round(10 * Math.log2(1 + executions));
    const drawn = this.drawn.get(size) ?? [];
    this.drawn.set(size, drawn);
    if (drawn.length < DRAWN_BUCKETS) drawn.push(this.draw(Math.round(2 ** (size / 10) - 1)));
    const { waitMs, serviceMs, responseMs } = drawn[Math.floor(this.random() * drawn.length)] as Bucket;
    return {
      ...emptyBucket(FIRST_MS + bucket * BUCKET_MS),
      arrivals: executions,
      starts: executions,
      completions: executions,
      waitMs,
      serviceMs,
      responseMs,
    };
  }

  private draw(executions: number): Bucket {
    const bucket = emptyBucket(0);
    for (let i = 0; i < executions; i++) {
      const waitMs = this.random() < 0.8 ? 0 : -5 * Math.log(1 - this.random());
      const serviceMs = drawLognormal(SERVICE, this.random);
      addToSketch(bucket.waitMs, waitMs);
      addToSketch(bucket.serviceMs, serviceMs);
      addToSketch(bucket.responseMs, waitMs + serviceMs);
    }
    return bucket;
  }
}
