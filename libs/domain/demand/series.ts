import {
  addToBucket,
  backlogChange,
  bucketStartMs,
  emptyBucket,
  inFlightChange,
  type Bucket,
  type DemandPartial,
} from './bucket.js';
import { isSampledPartition, toldToMs } from './sampled.js';
import { emptySketch, fadeSketch, mergeInto, type Sketch } from './sketch.js';

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
  /**
   * The newest buckets that were touched, by start. A bucket without events is not there. Sketches are kept only in the
   * newest ones, see {@link releaseSketches}.
   */
  buckets: Map<number, Bucket>;
  chains: Map<number, Chain>;
  /** Before it buckets may have been dropped although there was room, epoch ms. */
  keptFromMs: number;
  /** Before it buckets had another length, were under way when they got theirs, or were let go, epoch ms. */
  wholeFromMs: number;
  trailing: TrailingMean;
  /** Service time of the latest attempts seen, however long ago, the newer weighing more: an idle pool keeps its capacity. */
  lastServiceMs: Sketch;
}

/** Buckets kept in memory; older ones are corrected in the store only. */
export const WINDOW_BUCKETS = 120;
/**
 * Buckets further ahead of the reader's clock are left out: ingest lets senders' clocks be this wrong, so they come from
 * a clock that has been set back since, and as the "newest" ones they would push the present out of the window.
 */
export const MAX_AHEAD_MS = 60_000;
/** The rate is taken over at least this long: within one second chance alone moves it by 1/√arrivals. */
const RATE_S = 2;
/** Response times older than this (or than the newest bucket) say nothing of now. */
const FELT_S = 10;
/** Service times are taken from the newest buckets until there are this many. */
const MIN_SERVICE_SAMPLES = 500;

/** Retries per arrival are taken from the newest buckets until there are this many arrivals: ± 5 % (2 SD) at one retry in two. */
const ENOUGH_ARRIVALS = 200;
/** With fewer arrivals the ratio is chance. */
const MIN_ARRIVALS = 20;
/** Beyond it retries are a storm, which no number of workers ends. */
export const MAX_ATTEMPTS_PER_ARRIVAL = 4;

/** The newest bucket is still open, and the one before it may be: both do not count yet when a view is taken. */
const MIN_SKETCHED_BUCKETS = 4;

/** Mean arrival rate with the weight of the past halved each {@link halfLifeS}. */
export interface TrailingMean {
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
  const kept = { buckets: new Map(), chains: new Map(), keptFromMs: -Infinity, wholeFromMs: -Infinity };
  return { bucketS, ...kept, trailing, lastServiceMs: emptySketch() };
}

/**
 * Takes a chain up where its partials go on, if it may be one of those that were dropped because nothing was left of their
 * pool. `droppedTo`: the farthest that such a chain of each source partition reached; beyond it a beginning is a gap.
 */
export function resumeDropped(
  { range: { partition, from } }: DemandPartial,
  chains: Map<number, Chain>,
  droppedTo: ReadonlyMap<number, number>,
): void {
  if (chains.has(partition) || from > (droppedTo.get(partition) ?? -1)) return;
  chains.set(partition, { to: from, backlog: 0, inFlight: 0 });
}

export interface Applied {
  /** `other-length`: its buckets are not of the pool's length any more, or not yet. */
  outcome: 'applied' | 'gap' | 'seen' | 'other-length';
  changed: Bucket[];
}

/**
 * Takes note of a partial in its source partition's chain. `seen`: it was included already (a reader that started from
 * the store meets it again), nothing changes. `gap`: partials in between are missing, which must be alarmed; it counts
 * all the same, because late demand is better than none.
 */
export function extendChain(
  { range: { partition, from, to }, buckets, levels = {} }: DemandPartial,
  chains: Map<number, Chain>,
): Exclude<Applied['outcome'], 'other-length'> {
  const chain = chains.get(partition) ?? { to: -1, backlog: 0, inFlight: 0 };
  if (from < chain.to) return 'seen';
  const outcome = from > chain.to ? 'gap' : 'applied';
  chains.set(partition, chain);
  chain.to = to;
  for (const bucket of buckets) {
    chain.backlog += backlogChange(bucket);
    chain.inFlight += inFlightChange(bucket);
  }
  const { backlog = chain.backlog, inFlight = chain.inFlight } = levels;
  Object.assign(chain, { backlog, inFlight });
  return outcome;
}

/**
 * Adds a partial. Buckets of another length than the series' change the chain alone: they are of its past, or of a process
 * that was not told yet. `changed` holds the counts of the buckets it touched (absolute, not copies), those within the window:
 * what an older bucket adds up to, and the sketches of all but the newest, are known to the store only. Buckets further
 * ahead of `nowMs` than {@link MAX_AHEAD_MS} change the chain alone; without a clock none is.
 */
export function applyPartial(partial: DemandPartial, series: DemandSeries, nowMs = Infinity): Applied {
  const outcome = extendChain(partial, series.chains);
  if (outcome === 'seen') return { outcome, changed: [] };
  if (partial.bucketS !== series.bucketS)
    return { outcome: outcome === 'applied' ? 'other-length' : outcome, changed: [] };
  dropAhead(series, nowMs);
  const timely = partial.buckets.filter(({ startMs }) => startMs <= nowMs + MAX_AHEAD_MS);
  const changed = timely.flatMap((change) => changeBucket(change, series) ?? []);
  trim(series);
  return { outcome, changed };
}

/** Takes a bucket's sums from the store: the first ones a reader gets. */
export function putBucket(bucket: Bucket, series: DemandSeries): void {
  series.buckets.set(bucket.startMs, bucket);
  noteService(bucket, series);
  releaseSketches(series);
  trim(series);
}

/**
 * Lets go of the buckets of a pool that nobody wants any more, and of what was learned from them. What is included stays:
 * should the pool come back, its partials go on from there.
 */
export function letGo(series: DemandSeries, nowMs: number): void {
  const { bucketS, trailing } = series;
  series.buckets.clear();
  series.lastServiceMs = emptySketch();
  Object.assign(trailing, { untilMs: 0, ratePerS: 0, weight: 0 });
  series.wholeFromMs = bucketStartMs(nowMs, bucketS) + bucketS * 1000;
}

/** What a clock that has been set back left: the present would be too old for the window. */
function dropAhead(series: DemandSeries, nowMs: number): void {
  const ahead = [...series.buckets.keys()].filter((startMs) => startMs > nowMs + MAX_AHEAD_MS);
  if (ahead.length === 0) return;
  for (const startMs of ahead) series.buckets.delete(startMs);
  series.keptFromMs = bucketStartMs(nowMs, series.bucketS);
  series.trailing.untilMs = Math.min(series.trailing.untilMs, series.keptFromMs);
}

function changeBucket(change: Bucket, series: DemandSeries): Bucket | undefined {
  noteService(change, series);
  const held = series.buckets.get(change.startMs);
  if (held === undefined && change.startMs < windowStartMs(series)) return undefined;
  const bucket = held ?? emptyBucket(change.startMs);
  addToBucket(bucket, change);
  series.buckets.set(change.startMs, bucket);
  if (held === undefined) releaseSketches(series);
  return bucket;
}

/**
 * Forgets the sketches of buckets behind the newest that hold enough samples for a view: counts are what history is
 * made of, and ten thousand pools with 120 buckets of three sketches would need gigabytes.
 */
function releaseSketches({ buckets }: DemandSeries): void {
  // In order of their making: all but late ones in order of time, and nothing need be sorted for that.
  const newestFirst = [...buckets.values()].reverse();
  let samples = 0;
  for (const [i, bucket] of newestFirst.entries()) {
    if (i >= MIN_SKETCHED_BUCKETS && samples >= MIN_SERVICE_SAMPLES) {
      [bucket.waitMs, bucket.serviceMs, bucket.responseMs] = [emptySketch(), emptySketch(), emptySketch()];
    }
    samples += bucket.serviceMs.count;
  }
}

function noteService({ serviceMs }: Bucket, { lastServiceMs }: DemandSeries): void {
  if (serviceMs.count === 0) return;
  // Halving keeps the weight of the past bounded, and leaves an idle pool more than its very last attempt.
  if (lastServiceMs.count >= MIN_SERVICE_SAMPLES) fadeSketch(lastServiceMs, 0.5);
  mergeInto(lastServiceMs, serviceMs);
}

/** Older buckets may have been dropped. */
function windowStartMs({ buckets }: DemandSeries): number {
  return buckets.size < WINDOW_BUCKETS ? -Infinity : Math.min(...buckets.keys());
}

/** Drops the oldest buckets beyond the window. */
function trim({ buckets }: DemandSeries): void {
  const surplus = buckets.size - WINDOW_BUCKETS;
  if (surplus <= 0) return;
  const oldest = [...buckets.keys()].sort((a, b) => a - b).slice(0, surplus);
  for (const startMs of oldest) buckets.delete(startMs);
}

/** Latest demand of a pool, as decisions see it. */
export interface DemandView {
  /** Arrivals per second over the newest closed buckets. */
  arrivalRatePerS: number;
  /**
   * Attempts per arrival, 1 … {@link MAX_ATTEMPTS_PER_ARRIVAL}: retries are work too, so a pool serves this times its
   * arrivals. 1 while there are too few arrivals to tell.
   */
  attemptsPerArrival: number;
  /** Attempts queued whose start was not told: what waits, and short executions that are being served. */
  backlog: number;
  inFlight: number;
  /** Service time of recent attempts, ms: what the sizing model convolves with the wait. */
  serviceMs: Sketch;
  /** Response time of the attempts that ended in the last {@link FELT_S}, ms: what the pool's users feel. May be empty. */
  responseMs: Sketch;
  /** Trailing mean load, in arrivals per second (the priced level's W). */
  trailingRatePerS: number;
  /** End of the newest bucket that is counted, epoch ms: how fresh this is. */
  asOfMs: number;
}

/**
 * What is known of buckets that ended at or before `countedToMs`: the time up to which every event has been counted
 * (the clock less the age of the oldest event still on its way). `sampledBy`: partitions of the sources that measure the
 * pool now; what others told last is over. Undefined: all that were ever heard.
 */
export function demandView(
  { countedToMs, sampledBy }: { countedToMs: number; sampledBy?: readonly number[] },
  series: DemandSeries,
): DemandView {
  const asOfMs = bucketStartMs(countedToMs, series.bucketS);
  const rateBuckets = Math.ceil(RATE_S / series.bucketS);
  const newest = newestBuckets(asOfMs, series);
  const rateFromMs = asOfMs - rateBuckets * series.bucketS * 1000;
  const recent = newest.filter(({ startMs }) => startMs >= rateFromMs);
  const feltFromMs = asOfMs - Math.max(FELT_S, series.bucketS) * 1000;
  const isFelt = ({ startMs }: Bucket) => startMs >= feltFromMs;
  const arrivals = recent.reduce((sum, bucket) => sum + bucket.arrivals, 0);
  const arrivalRatePerS = arrivals / (rateBuckets * series.bucketS);
  const isHeard = (partition: number) =>
    sampledBy === undefined || !isSampledPartition(partition) || sampledBy.includes(partition);
  const sums = [...series.chains].flatMap(([partition, chain]) => (isHeard(partition) ? [chain] : []));
  return {
    arrivalRatePerS,
    attemptsPerArrival: attemptsPerArrival(newest),
    backlog: Math.max(0, total(sums.map(({ backlog }) => backlog))),
    inFlight: Math.max(0, total(sums.map(({ inFlight }) => inFlight))),
    serviceMs: recentService(newest, series),
    responseMs: mergedUntil(newest.filter(isFelt), 'responseMs', MIN_SERVICE_SAMPLES),
    trailingRatePerS: trailingRate(series, arrivalRatePerS),
    asOfMs,
  };
}

export interface ClosedArrivals {
  startMs: number;
  /** null: not known. */
  arrivals: number | null;
}

/**
 * Arrivals of the closed buckets from `fromMs` to `toMs` (both bucket starts, the second excluded), the empty ones
 * included, as far back as the window reaches. null: not known, see {@link toldToMs}.
 */
export function closedArrivals(
  { fromMs, toMs, levelsBy }: { fromMs: number; toMs: number; levelsBy?: readonly number[] | undefined },
  series: DemandSeries,
): ClosedArrivals[] {
  const bucketMs = series.bucketS * 1000;
  const knownFromMs = Math.max(series.keptFromMs, series.wholeFromMs);
  const earliestMs = Math.max(toMs - WINDOW_BUCKETS * bucketMs, windowStartMs(series), knownFromMs);
  const unknownToMs = toldToMs(series.chains, levelsBy);
  const closed: ClosedArrivals[] = [];
  for (let startMs = Math.max(fromMs, earliestMs); startMs < toMs; startMs += bucketMs) {
    const untold = startMs < unknownToMs ? null : 0;
    closed.push({ startMs, arrivals: series.buckets.get(startMs)?.arrivals ?? untold });
  }
  return closed;
}

/** Moves the trailing mean over closed buckets, in order; what it has seen already, and what is not known, is left out. */
export function trail(closed: ClosedArrivals[], series: DemandSeries): void {
  const { trailing, bucketS } = series;
  const keep = 0.5 ** (bucketS / trailing.halfLifeS);
  for (const { startMs, arrivals } of closed) {
    if (startMs < trailing.untilMs || arrivals === null) continue;
    trailing.ratePerS = keep * trailing.ratePerS + (1 - keep) * (arrivals / bucketS);
    trailing.weight = keep * trailing.weight + (1 - keep);
    trailing.untilMs = startMs + bucketS * 1000;
  }
}

/** See {@link trailSpan}. */
export interface TrailedSpan {
  fromMs: number;
  toMs: number;
  faded: { arrivals: number; buckets: number };
  areOthersKnown: boolean;
}

/**
 * Moves the trailing mean over a span of closed buckets that somebody else has summed. `faded`: of each bucket that is
 * held, its arrivals, and 1, halved for every half-life from its start to the end of the span. The others are empty, or
 * not known (`areOthersKnown`).
 */
export function trailSpan(
  { fromMs, toMs, faded, areOthersKnown }: TrailedSpan,
  { trailing, bucketS }: DemandSeries,
): void {
  const keep = 0.5 ** (bucketS / trailing.halfLifeS);
  const left = 0.5 ** ((toMs - fromMs) / 1000 / trailing.halfLifeS);
  // A bucket fades from its end on, not from its start.
  const share = (1 - keep) / keep;
  // What is not known takes no weight from what is.
  const weight = areOthersKnown ? 1 - left : share * faded.buckets;
  const kept = areOthersKnown ? left : 1 - weight;
  trailing.ratePerS = kept * trailing.ratePerS + share * (faded.arrivals / bucketS);
  trailing.weight = kept * trailing.weight + weight;
  trailing.untilMs = toMs;
}

function trailingRate({ trailing }: DemandSeries, latest: number): number {
  return trailing.weight === 0 ? latest : trailing.ratePerS / trailing.weight;
}

/** Closed buckets, newest first. */
function newestBuckets(asOfMs: number, { buckets }: DemandSeries): Bucket[] {
  const closed = [...buckets.values()].filter(({ startMs }) => startMs < asOfMs);
  return closed.sort((a, b) => b.startMs - a.startMs);
}

function attemptsPerArrival(newest: Bucket[]): number {
  let [arrivals, retries] = [0, 0];
  for (const bucket of newest) {
    if (arrivals >= ENOUGH_ARRIVALS) break;
    arrivals += bucket.arrivals;
    retries += bucket.retries;
  }
  const ratio = arrivals < MIN_ARRIVALS ? 1 : 1 + retries / arrivals;
  return Math.min(ratio, MAX_ATTEMPTS_PER_ARRIVAL);
}

function recentService(newest: Bucket[], { lastServiceMs }: DemandSeries): Sketch {
  const recent = mergedUntil(newest, 'serviceMs', MIN_SERVICE_SAMPLES);
  const enough = recent.count >= MIN_SERVICE_SAMPLES || recent.count >= lastServiceMs.count;
  return enough ? recent : lastServiceMs;
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
