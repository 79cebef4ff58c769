import { bucketStartMs, emptyBucket, type Bucket } from './bucket.js';
import { addToSketch, type Sketch } from './sketch.js';

/** Of a bucket without its bins, as JSON, at most. */
const BUCKET_BYTES = 800;
/** Of a bin: a count of up to six digits, and a comma. */
const BIN_BYTES = 7;

/** What one step adds to the buckets of one pool. */
export class PoolBuckets {
  private readonly buckets = new Map<number, Bucket>();
  private latest: Bucket | undefined;
  private readonly bucketMs: number;
  private readonly latenessMs: number;
  /** What it takes as JSON, at most. */
  bytes = 0;

  constructor({ bucketS, latenessS }: { bucketS: number; latenessS: number }) {
    this.bucketMs = bucketS * 1000;
    this.latenessMs = latenessS * 1000;
  }

  get all(): Bucket[] {
    return [...this.buckets.values()];
  }

  /** The bucket that holds a time. */
  at(timeMs: number): Bucket {
    const { latest, bucketMs } = this;
    if (latest !== undefined && timeMs >= latest.startMs && timeMs < latest.startMs + bucketMs) return latest;
    const startMs = bucketStartMs(timeMs, bucketMs / 1000);
    const bucket = this.buckets.get(startMs) ?? this.add(startMs);
    this.latest = bucket;
    return bucket;
  }

  /** Whether the bucket that holds a time has ended, and its lateness has passed. */
  isFinal(timeMs: number, watermarkMs: number): boolean {
    const startMs = bucketStartMs(timeMs, this.bucketMs / 1000);
    return startMs + this.bucketMs + this.latenessMs <= watermarkMs;
  }

  /** Adds to a sketch of one of these buckets. */
  measure(sketch: Sketch, value: number): void {
    const before = sketch.bins.length;
    addToSketch(sketch, value);
    this.bytes += (sketch.bins.length - before) * BIN_BYTES;
  }

  private add(startMs: number): Bucket {
    const bucket = emptyBucket(startMs);
    this.buckets.set(startMs, bucket);
    this.bytes += BUCKET_BYTES;
    return bucket;
  }
}
