import { isPoolName } from '#domain/events';
import { emptySketch, isSketch, mergeInto, type Sketch } from './sketch.js';

/**
 * What one pool received in one bucket [startMs, startMs + bucketS): the sum over source partitions.
 * Counts are additive and sketches merge, so partial buckets of several ingest instances add up.
 *
 *   queued ──arrivals/retries──▶ backlog ──starts──▶ in flight ──completions/failures──▶ gone
 *                                   └── abandonments (failed or rejected before a start) ──▶ gone
 */
export interface BucketCounts {
  /** First sight of (execution, attempt 1), in the bucket of queuedAt, before admission. */
  arrivals: number;
  /** Attempts 2 and later, in the bucket of their queuedAt. Not part of `arrivals`. */
  retries: number;
  starts: number;
  completions: number;
  /** Attempts that started and failed. */
  failures: number;
  /** Attempts that ended without a start; rejections (router 503) among them. */
  abandonments: number;
  rejections: number;
  /** Attempts whose end was never seen within maxExecutionS: they leave backlog or in-flight. */
  expiredQueued: number;
  expiredStarted: number;
}

export interface Bucket extends BucketCounts {
  startMs: number;
  /** Milliseconds; start − queued. */
  waitMs: Sketch;
  /** Milliseconds; ended − started of attempts that completed or failed: both have had a slot. */
  serviceMs: Sketch;
  /** Milliseconds; ended − queued of attempts that completed. */
  responseMs: Sketch;
}

/** Half-open offset range [from, to) of one partition of the source topic. */
export interface OffsetRange {
  partition: number;
  /** `to` of this pool's previous partial from this partition; −1 for the first one. A chain without holes. */
  from: number;
  to: number;
}

/**
 * The message of `demand.v1`, keyed by pool: what one step of one source partition adds to the pool's buckets.
 * Readers keep the last `to` per (pool, partition): a partial whose `from` is below it was seen already and is
 * dropped; one whose `from` is above it reveals a gap, which alarms.
 */
export interface DemandPartial {
  v: 1;
  pool: string;
  bucketS: number;
  range: OffsetRange;
  /** Largest event time seen on the source partition, epoch ms; never ahead of the log's clock. */
  watermarkMs: number;
  buckets: Bucket[];
  /** Of a source that measures levels: what waits and is served at the end of the range, instead of sums of events. */
  levels?: { backlog?: number; inFlight?: number };
  /** The pool's past has been brought in: whoever has learned from it looks again. */
  history?: true;
}

const COUNTS = [
  'arrivals',
  'retries',
  'starts',
  'completions',
  'failures',
  'abandonments',
  'rejections',
  'expiredQueued',
  'expiredStarted',
] as const satisfies (keyof BucketCounts)[];

const SKETCHES = ['waitMs', 'serviceMs', 'responseMs'] as const;

/** Executions that wait or are served, at most, and arrivals of a bucket: what measures more does not measure executions. */
export const MAX_LEVEL = 2 ** 31 - 1;
export const MAX_BUCKET_ARRIVALS = 1e9;

/** A message of `demand.v1`, checked down to the numbers: one that is no partial must not end its readers. */
export function parsePartial(value: string): DemandPartial | undefined {
  try {
    const partial = JSON.parse(value) as DemandPartial;
    const { v, pool, range, buckets, levels = {} } = partial;
    const { backlog = 0, inFlight = 0 } = levels;
    const isChained = [range.partition, range.from, range.to].every(Number.isSafeInteger);
    const isLevelled = [backlog, inFlight].every(isLevel);
    const isPool = typeof pool === 'string' && isPoolName(pool);
    const isWhole = isChained && isLevelled && buckets.every(isBucket);
    return v === 1 && isPool && isWhole ? partial : undefined;
  } catch {
    return undefined; // no JSON, or without a part that is looked into
  }
}

/** Of a chain a level may be below 0 for a while: ends are told before starts. */
function isLevel(level: unknown): boolean {
  return Number.isSafeInteger(level) && Math.abs(level as number) <= MAX_LEVEL;
}

function isBucket(bucket: Bucket): boolean {
  const hasCounts = COUNTS.every((count) => Number.isFinite(bucket[count]));
  return (
    Number.isSafeInteger(bucket.startMs) && hasCounts && SKETCHES.every((name) => isSketch(bucket[name]))
  );
}

export function emptyBucket(startMs: number): Bucket {
  return {
    startMs,
    arrivals: 0,
    retries: 0,
    starts: 0,
    completions: 0,
    failures: 0,
    abandonments: 0,
    rejections: 0,
    expiredQueued: 0,
    expiredStarted: 0,
    waitMs: emptySketch(),
    serviceMs: emptySketch(),
    responseMs: emptySketch(),
  };
}

/** Adds `from` to an own bucket, in place. */
export function addToBucket(bucket: Bucket, from: Bucket): void {
  for (const count of COUNTS) bucket[count] += from[count];
  for (const sketch of SKETCHES) mergeInto(bucket[sketch], from[sketch]);
}

/** Start of the bucket that holds a time; buckets are aligned to the epoch. */
export function bucketStartMs(timeMs: number, bucketS: number): number {
  const bucketMs = bucketS * 1000;
  return Math.floor(timeMs / bucketMs) * bucketMs;
}

/** By how much a bucket changes the number of attempts that wait. */
export function backlogChange(bucket: BucketCounts): number {
  return bucket.arrivals + bucket.retries - bucket.starts - bucket.abandonments - bucket.expiredQueued;
}

/** By how much a bucket changes the number of attempts that are being served. */
export function inFlightChange(bucket: BucketCounts): number {
  return bucket.starts - bucket.completions - bucket.failures - bucket.expiredStarted;
}
