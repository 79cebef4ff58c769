import { emptyBucket, MAX_BUCKET_ARRIVALS, MAX_LEVEL, type DemandPartial } from './bucket.js';
import type { Chain } from './series.js';
import { addManyToSketch } from './sketch.js';

/** What another system says of a pool in [startMs, startMs + bucketS). */
export interface DemandSample {
  startMs: number;
  /** May be a fraction: systems measure rates. Undefined: it tells levels only. */
  arrivals?: number;
  /** At the end of the bucket; undefined: it does not say. */
  backlog?: number;
  inFlight?: number;
  /** Service times of what completed: so many of each value, ms. */
  service?: readonly { valueMs: number; count: number }[];
}

/** Partitions of the topic of events are small numbers; sampled sources have theirs above. */
const FIRST_SAMPLED_PARTITION = 2 ** 30;

/**
 * The partition under which a sampled source enters demand: its offsets are times, epoch ms. The same in every process
 * and run (FNV-1a).
 */
export function sampledPartition(source: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(source)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return FIRST_SAMPLED_PARTITION + (hash % FIRST_SAMPLED_PARTITION);
}

/** Whether the offsets of a source partition are times. */
export function isSampledPartition(partition: number): boolean {
  return partition >= FIRST_SAMPLED_PARTITION;
}

export interface SampledSpan {
  pool: string;
  /** See {@link sampledPartition}. */
  partition: number;
  bucketS: number;
  /** In order; of buckets in between that are missing nothing is known. */
  samples: readonly DemandSample[];
  /** End of the span: samples up to it are in. */
  toMs: number;
  /** Of arrivals that are in no bucket yet: < 1. */
  fraction: number;
}

/**
 * What samples add to a pool's demand. Arrivals are whole, their fractions go over to the next bucket; what arrived also
 * started and ended, because backlog and in-flight are told as levels.
 */
export function sampledPartial(
  { pool, partition, bucketS, samples, toMs, fraction }: SampledSpan,
  chain: Pick<Chain, 'to'> | undefined,
): { partial: DemandPartial; fraction: number } {
  let rest = fraction;
  const buckets = samples.flatMap(({ startMs, arrivals, service = [] }) => {
    // One that was told to be empty is there: those that are not are unknown.
    if (arrivals === undefined) return [];
    const exact = Math.min(arrivals, MAX_BUCKET_ARRIVALS) + rest;
    const whole = Math.floor(exact);
    rest = exact - whole;
    const bucket = { ...emptyBucket(startMs), arrivals: whole, starts: whole, completions: whole };
    for (const { valueMs, count } of service) addManyToSketch(bucket.serviceMs, valueMs, count);
    return [bucket];
  });
  const levels = levelsOf(samples);
  const range = { partition, from: chain?.to ?? -1, to: toMs };
  const partial: DemandPartial = {
    v: 1,
    pool,
    bucketS,
    range,
    watermarkMs: toMs,
    buckets,
    ...(levels && { levels }),
  };
  return { partial, fraction: rest };
}

/** What a source does not tell of a bucket of which it tells something, it does not measure (any more). */
function levelsOf(samples: readonly DemandSample[]): DemandPartial['levels'] {
  const latest = samples.at(-1);
  if (latest === undefined) return undefined;
  const levelOf = (told = 0) => Math.min(Math.round(told), MAX_LEVEL);
  return { backlog: levelOf(latest.backlog), inFlight: levelOf(latest.inFlight) };
}

/** Standard normal quantiles of (i + ½)/10: ten equally likely values. */
const NORMAL = [-1.6449, -1.0364, -0.6745, -0.3853, -0.1257, 0.1257, 0.3853, 0.6745, 1.0364, 1.6449];
/** Of a lognormal with a coefficient of variation of ½: √ln(1 + cv²). */
const SIGMA = Math.sqrt(Math.log(1.25));

/**
 * Service times of which the mean is all that is known: lognormal with half of the mean as their deviation, as services
 * often are. Better is a histogram. Empty: the mean is no time.
 */
export function serviceAround(meanMs: number, count: number): { valueMs: number; count: number }[] {
  if (!(meanMs > 0) || meanMs === Infinity) return [];
  const shape = NORMAL.map((z) => Math.exp(SIGMA * z));
  const mean = shape.reduce((sum, value) => sum + value, 0) / shape.length;
  return shape.map((value) => ({ valueMs: (meanMs * value) / mean, count: count / shape.length }));
}

/**
 * Up to when the sources of a pool have been sampled, epoch ms: later buckets are not empty but unknown. Infinity: it has
 * no such source; −1: one of them was never heard.
 */
export function sampledToMs(partitions: readonly number[], chains: ReadonlyMap<number, Chain>): number {
  return Math.min(Infinity, ...partitions.map((partition) => chains.get(partition)?.to ?? -1));
}

/**
 * Up to when a pool's arrivals were told by other systems, epoch ms: of a bucket before it that they did not tell nothing
 * is known; later ones without events are empty. −Infinity: nobody told any. `levelsBy`: partitions of those that tell
 * levels only.
 */
export function toldToMs(chains: ReadonlyMap<number, Chain>, levelsBy: readonly number[] = []): number {
  let toMs = -Infinity;
  for (const [partition, { to }] of chains)
    if (to > toMs && isSampledPartition(partition) && !levelsBy.includes(partition)) toMs = to;
  return toMs;
}
