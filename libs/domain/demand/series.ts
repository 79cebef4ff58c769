import {
  addToBucket,
  backlogChange,
  bucketStartMs,
  emptyBucket,
  inFlightChange,
  type Bucket,
  type DemandPartial,
} from './bucket.js';
import { emptySketch, mergeInto, type Sketch } from './sketch.js';

/** What a reader has counted of one (pool, source partition). */
export interface Chain {
  /** `to` of the last partial included. */
  to: number;
  /** Attempts waiting and being served, by the events of this partition. */
  backlog: number;
  inFlight: number;
}

/** The demand of one pool as a reader of `demand.v1` holds it. Belongs to its reader: it is changed in place. */
export interface DemandSeries {
  bucketS: number;
  /** The newest buckets that were touched, by start. A bucket without events is not there. */
  buckets: Map<number, Bucket>;
  chains: Map<number, Chain>;
  trailing: TrailingMean;
  /** Service time of the latest attempts seen, however long ago: an idle pool keeps its capacity. */
  lastServiceMs: Sketch;
}

/** Buckets kept in memory; older ones are corrected in the store only. */
export const WINDOW_BUCKETS = 120;
/** The rate is taken over at least this long: within one second chance alone moves it by 1/√arrivals. */
const RATE_S = 2;
/** Service times are taken from the newest buckets until there are this many. */
const MIN_SERVICE_SAMPLES = 500;

/** Mean arrival rate with the weight of the past halved each {@link halfLifeS}. */
interface TrailingMean {
  halfLifeS: number;
  untilMs: number;
  ratePerS: number;
  /** Sum of the weights so far, ≤ 1: corrects the start. */
  weight: number;
}

/** Half of the trailing mean's weight lies in this many seasons: as long as seven seasons weighted equally. */
const TRAILING_SEASONS = 3.5;

export function newDemandSeries({ bucketS, seasonS }: { bucketS: number; seasonS: number }): DemandSeries {
  const trailing = { halfLifeS: TRAILING_SEASONS * seasonS, untilMs: 0, ratePerS: 0, weight: 0 };
  return { bucketS, buckets: new Map(), chains: new Map(), trailing, lastServiceMs: emptySketch() };
}

export type Applied =
  | { outcome: 'applied' | 'gap'; changed: Bucket[] }
  /** Included already: a reader that started from the store meets it again. */
  | { outcome: 'seen'; changed: [] };

/**
 * Adds a partial. `gap`: partials in between are missing, which must be alarmed; it is added all the same, because late
 * demand is better than none. `changed` holds the sums of the buckets it touched (absolute, not copies).
 */
export function applyPartial(partial: DemandPartial, series: DemandSeries): Applied {
  const { partition, from, to } = partial.range;
  const chain = series.chains.get(partition) ?? { to: -1, backlog: 0, inFlight: 0 };
  if (from < chain.to) return { outcome: 'seen', changed: [] };
  const outcome = from > chain.to ? 'gap' : 'applied';
  series.chains.set(partition, chain);
  chain.to = to;
  const changed = partial.buckets.map((change) => {
    chain.backlog += backlogChange(change);
    chain.inFlight += inFlightChange(change);
    return changeBucket(change, series);
  });
  return { outcome, changed };
}

/** Takes sums from the store: the first ones a reader gets, or a bucket that has left the window. */
export function putBucket(bucket: Bucket, series: DemandSeries): void {
  series.buckets.set(bucket.startMs, bucket);
  noteService(bucket, series);
  trim(series);
}

function changeBucket(change: Bucket, series: DemandSeries): Bucket {
  const bucket = series.buckets.get(change.startMs) ?? emptyBucket(change.startMs);
  addToBucket(bucket, change);
  series.buckets.set(change.startMs, bucket);
  noteService(change, series);
  trim(series);
  return bucket;
}

function noteService({ serviceMs }: Bucket, series: DemandSeries): void {
  if (serviceMs.count === 0) return;
  // Halving keeps the memory of an idle pool bounded in weight, not only in bins.
  if (series.lastServiceMs.count >= MIN_SERVICE_SAMPLES) series.lastServiceMs = emptySketch();
  mergeInto(series.lastServiceMs, serviceMs);
}

/** Drops the oldest buckets beyond the window. */
function trim({ buckets }: DemandSeries): void {
  while (buckets.size > WINDOW_BUCKETS) buckets.delete(Math.min(...buckets.keys()));
}

/** Latest demand of a pool, as decisions see it. */
export interface DemandView {
  /** Arrivals per second over the newest closed buckets. */
  arrivalRatePerS: number;
  /** Attempts queued and not started. */
  backlog: number;
  inFlight: number;
  /** Service time of recent attempts, ms: what the sizing model convolves with the wait. */
  serviceMs: Sketch;
  /** Response time of recent attempts, ms: what the pool's users felt. */
  responseMs: Sketch;
  /** Peak rate inside buckets ÷ bucket mean, ≥ 1; 1 when unmeasured. */
  peakToMeanRatio: number;
  /** Trailing mean load, in arrivals per second (the priced level's W). */
  trailingRatePerS: number;
  /** End of the newest bucket that is counted, epoch ms: how fresh this is. */
  asOfMs: number;
}

/**
 * What is known of buckets that ended at or before `countedToMs`: the time up to which every event has been counted
 * (the clock less the age of the oldest event still on its way).
 */
export function demandView({ countedToMs }: { countedToMs: number }, series: DemandSeries): DemandView {
  const asOfMs = bucketStartMs(countedToMs, series.bucketS);
  const rateBuckets = Math.ceil(RATE_S / series.bucketS);
  const newest = newestBuckets(asOfMs, series);
  const rateFromMs = asOfMs - rateBuckets * series.bucketS * 1000;
  const recent = newest.filter(({ startMs }) => startMs >= rateFromMs);
  const arrivals = recent.reduce((sum, bucket) => sum + bucket.arrivals, 0);
  const arrivalRatePerS = arrivals / (rateBuckets * series.bucketS);
  const sums = [...series.chains.values()];
  return {
    arrivalRatePerS,
    backlog: Math.max(0, total(sums.map(({ backlog }) => backlog))),
    inFlight: Math.max(0, total(sums.map(({ inFlight }) => inFlight))),
    serviceMs: recentService(newest, series),
    responseMs: mergedUntil(newest, 'responseMs', MIN_SERVICE_SAMPLES),
    peakToMeanRatio: 1,
    trailingRatePerS: trailingRate(series, arrivalRatePerS),
    asOfMs,
  };
}

/**
 * Arrivals of the closed buckets from `fromMs` to `toMs` (both bucket starts, the second excluded), the empty ones
 * included, as far as the window reaches. Also moves the trailing mean on.
 */
export function closedArrivals(
  { fromMs, toMs }: { fromMs: number; toMs: number },
  series: DemandSeries,
): { startMs: number; arrivals: number }[] {
  const bucketMs = series.bucketS * 1000;
  const earliestMs = toMs - WINDOW_BUCKETS * bucketMs;
  const closed: { startMs: number; arrivals: number }[] = [];
  for (let startMs = Math.max(fromMs, earliestMs); startMs < toMs; startMs += bucketMs) {
    closed.push({ startMs, arrivals: series.buckets.get(startMs)?.arrivals ?? 0 });
  }
  return closed;
}

/** Moves the trailing mean over closed buckets, in order; what it has seen already is left out. */
export function trail(closed: { startMs: number; arrivals: number }[], series: DemandSeries): void {
  const { trailing, bucketS } = series;
  const keep = 0.5 ** (bucketS / trailing.halfLifeS);
  for (const { startMs, arrivals } of closed) {
    if (startMs < trailing.untilMs) continue;
    trailing.ratePerS = keep * trailing.ratePerS + (1 - keep) * (arrivals / bucketS);
    trailing.weight = keep * trailing.weight + (1 - keep);
    trailing.untilMs = startMs + bucketS * 1000;
  }
}

function trailingRate({ trailing }: DemandSeries, latest: number): number {
  return trailing.weight === 0 ? latest : trailing.ratePerS / trailing.weight;
}

/** Closed buckets, newest first. */
function newestBuckets(asOfMs: number, { buckets }: DemandSeries): Bucket[] {
  const closed = [...buckets.values()].filter(({ startMs }) => startMs < asOfMs);
  return closed.sort((a, b) => b.startMs - a.startMs);
}

function recentService(newest: Bucket[], { lastServiceMs }: DemandSeries): Sketch {
  const recent = mergedUntil(newest, 'serviceMs', MIN_SERVICE_SAMPLES);
  return recent.count > 0 ? recent : lastServiceMs;
}

function mergedUntil(newest: Bucket[], sketch: 'serviceMs' | 'responseMs', count: number): Sketch {
  const merged = emptySketch();
  for (const bucket of newest) {
    if (merged.count >= count) break;
    mergeInto(merged, bucket[sketch]);
  }
  return merged;
}

function total(numbers: number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
