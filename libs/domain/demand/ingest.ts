import { phaseOf, type CountedEvent, type ParsedForCounting, type Phase, type Refusal } from '#domain/events';
import {
  endAttempt,
  forgetEnded,
  isOverfull,
  knownTimes,
  newAttempt,
  noAttempts,
  noteTimes,
  openAttempt,
  overdue,
  takeAgeing,
  takeForgotten,
  tellEnded,
  type Attempt,
  type Attempts,
} from './attempts.js';
import type { DemandPartial } from './bucket.js';
import { PoolBuckets } from './pool-buckets.js';

/**
 * Why a record of `executions.v1` counts nowhere: a counter each, and the reason in the dead-letter topic. `unreadable`: it
 * stands for a batch of which the log can unpack nothing.
 */
export type DeadLetterReason = Refusal | 'unreadable' | 'future' | 'too_old' | 'too_many_pools';

export interface IngestSettings {
  /** An event counts once when it is sent again within this time of the last time it was sent. */
  dedupeWindowS: number;
  /** An attempt whose end was not seen for this long leaves backlog and in-flight. */
  maxExecutionS: number;
  /** An event dated further ahead of the log time of its record is refused. */
  maxFutureS: number;
  /**
   * An event that was queued longer before the log time of its record is refused. At least maxExecutionS; up to
   * maxExecutionS + dedupeWindowS − maxFutureS the end of an attempt that had expired cannot count as a new arrival.
   */
  maxAgeS: number;
}

export interface IngestRecord {
  offset: number;
  /** When the log took it, epoch ms: the clock of all windows, so that reading again gives the same result. */
  timestampMs: number;
  parsed: ParsedForCounting | { ok: false; reason: 'unreadable'; detail: string };
}

export interface IngestInput {
  partition: number;
  /** Consecutive records of the partition; not empty. Taken one by one: what is parsed then is not kept. */
  records: Iterable<IngestRecord>;
  settings: IngestSettings;
  /** Whether events of a pool count; false: it is one pool too many. */
  admits(pool: string): boolean;
  /** Also of a pool that is no longer admitted: its open attempts expire into its buckets. */
  poolSettings(pool: string): { bucketS: number; latenessS: number };
}

/** State of one source partition. Belongs to the step: it is changed in place. */
export interface IngestMemory {
  attempts: Attempts;
  chains: Map<string, PoolChain>;
  /**
   * Largest event time seen, epoch ms; not ahead of the latest record's log time, or one wrong clock, or one that has
   * been set back since, would make the others late.
   */
  watermarkMs: number;
  /** Largest log time seen, epoch ms: never goes back. */
  nowMs: number;
}

/** One pool's partials from this partition. */
export interface PoolChain {
  /** Offset of the first event that counted: those before were one pool too many. */
  since: number;
  /** `to` of the last partial; −1 before the first. */
  to: number;
}

/** A record of the compacted `ingest-state.v1`; value null deletes. */
export interface StateRecord {
  key: string;
  value: string | null;
}

export interface DeadLetter {
  offset: number;
  reason: DeadLetterReason;
  detail: string;
}

export interface IngestOutput {
  /** Records that the step took: all, unless a partial has grown to {@link MAX_PARTIAL_BYTES}. */
  taken: number;
  partials: DemandPartial[];
  state: StateRecord[];
  deadLetters: DeadLetter[];
  counts: {
    /** Told nothing new. */
    duplicates: number;
    /** Came when the bucket of their own moment, or of the arrival they were the first to tell, was final. */
    late: number;
    expired: number;
    /** Ended attempts forgotten before the dedupe window was over, for want of room. */
    forgottenEarly: number;
  };
}

/**
 * A step ends when what it adds to one pool takes this much as JSON, at most: with what its last record may add, a bucket
 * for each of its times with two far-apart values in each sketch, a partial stays within the megabyte of a log's record.
 */
export const MAX_PARTIAL_BYTES = 900 * 1024;

export function newIngestMemory(): IngestMemory {
  return { attempts: noAttempts(), chains: new Map(), watermarkMs: 0, nowMs: 0 };
}

/**
 * Counts the records of one partition: what they add to each pool's buckets, what must be known after a restart, and
 * what could not be used. An event implies the earlier phases of its attempt, each of which counts once, in any order.
 * The result depends on the records alone, not on where the steps divide them: time moves with each record.
 */
export function ingestStep(
  input: IngestInput,
  memory: IngestMemory,
): { output: IngestOutput; memory: IngestMemory } {
  const step = new Step(input, memory);
  for (const record of input.records) {
    step.take(record);
    if (step.isFull) break;
  }
  return { output: step.finish(), memory };
}

/** One step over one partition: buckets by pool, and the state that changed. */
class Step {
  private readonly pools = new Map<string, PoolBuckets>();
  private readonly state: StateRecord[] = [];
  private readonly deadLetters: DeadLetter[] = [];
  private readonly counts = { duplicates: 0, late: 0, expired: 0, forgottenEarly: 0 };
  private taken = 0;
  private to = 0;
  isFull = false;

  constructor(
    private readonly input: IngestInput,
    private readonly memory: IngestMemory,
  ) {}

  take({ offset, timestampMs, parsed }: IngestRecord): void {
    const { nowMs, attempts } = this.memory;
    this.taken++;
    this.to = offset + 1;
    // While a clock that was set back catches up no time passes here, but the bounds of memory must hold.
    if (timestampMs > nowMs || (timestampMs < nowMs && isOverfull(attempts)))
      this.age(Math.max(nowMs, timestampMs));
    this.memory.watermarkMs = Math.min(this.memory.watermarkMs, timestampMs);
    const refused = parsed.ok ? this.refusal(parsed.event, timestampMs) : parsed;
    if (refused !== undefined) {
      this.deadLetters.push({ offset, reason: refused.reason, detail: refused.detail });
    } else if (parsed.ok) {
      this.count(parsed.event, offset);
      this.watch(parsed.event, timestampMs);
    }
  }

  finish(): IngestOutput {
    const { partition, settings } = this.input;
    const { taken, to } = this;
    const { nowMs, watermarkMs } = this.memory;
    const partials = [...this.pools].map(([pool, { all: buckets }]): DemandPartial => {
      const chain = this.memory.chains.get(pool) as PoolChain;
      const from = chain.to;
      chain.to = to;
      this.state.push({ key: `chain:${pool}`, value: JSON.stringify(chain) });
      const { bucketS } = this.input.poolSettings(pool);
      const range = { partition, from, to };
      return {
        v: 1,
        pool,
        bucketS,
        range,
        watermarkMs,
        buckets,
      };
    });
    const progress: Progress = { to, nowMs, watermarkMs, dedupeWindowS: settings.dedupeWindowS };
    this.state.push({ key: 'progress', value: JSON.stringify(progress) });
    return { taken, partials, state: this.state, deadLetters: this.deadLetters, counts: this.counts };
  }

  private refusal({ data }: CountedEvent, timestampMs: number): Refused | undefined {
    const untimely = refuseUntimely(data, timestampMs, this.input.settings);
    if (untimely !== undefined || this.input.admits(data.pool)) return untimely;
    return { reason: 'too_many_pools', detail: `no room for pool ${data.pool} (ingest.maxPools)` };
  }

  private count(event: CountedEvent, offset: number): void {
    const { attempts, nowMs } = this.memory;
    const { data } = event;
    const key = keyOf(event);
    const phase = phaseOf(event.type);
    const known = openAttempt(attempts, key);
    const newStart = phase !== 'queued' && data.startedAtMs !== undefined && !known?.started;
    const ends = phase === 'completed' || phase === 'failed';
    const isOver = attempts.ended.has(key);
    if (isOver) tellEnded(attempts, key, nowMs);
    const isNews = known !== undefined && noteTimes(known, data);
    if (isOver || (known !== undefined && !newStart && !ends)) {
      if (isNews) this.keep(known, key);
      this.counts.duplicates++;
      return;
    }
    const pool = this.poolOf(data.pool);
    if (this.isLate(pool, data, { phase, isArrival: known === undefined })) this.counts.late++;
    const attempt = known ?? this.arrive(pool, data, offset);
    if (known === undefined && !ends) attempts.young.set(key, attempt);
    if (newStart) this.start(pool, attempt, data);
    if (ends) this.end(pool, attempt, { data, phase });
    if (ends) this.close(key);
    else if (newStart) this.keep(attempt, key);
    this.isFull ||= pool.bytes > MAX_PARTIAL_BYTES;
  }

  /** The start that an end tells, too, is no news that is late: it is as old as the execution is long. */
  private isLate(
    pool: PoolBuckets,
    data: CountedEvent['data'],
    { phase, isArrival }: { phase: Phase; isArrival: boolean },
  ): boolean {
    const { watermarkMs } = this.memory;
    if (pool.isFinal(momentOf(phase, data), watermarkMs)) return true;
    return isArrival && pool.isFinal(data.queuedAtMs, watermarkMs);
  }

  private watch({ data }: CountedEvent, timestampMs: number): void {
    const { queuedAtMs, startedAtMs = queuedAtMs, endedAtMs = startedAtMs } = data;
    this.memory.watermarkMs = Math.max(this.memory.watermarkMs, Math.min(endedAtMs, timestampMs));
  }

  private arrive(pool: PoolBuckets, data: CountedEvent['data'], offset: number): Attempt {
    const { chains, nowMs } = this.memory;
    if (!chains.has(data.pool)) chains.set(data.pool, { since: offset, to: -1 });
    const bucket = pool.at(data.queuedAtMs);
    if (data.attempt === 1) bucket.arrivals++;
    else bucket.retries++;
    return newAttempt(data, nowMs);
  }

  private start(pool: PoolBuckets, attempt: Attempt, data: CountedEvent['data']): void {
    attempt.started = true;
    const bucket = pool.at(data.startedAtMs as number);
    bucket.starts++;
    const { queuedAtMs, startedAtMs } = knownTimes(attempt, data);
    pool.measure(bucket.waitMs, startedAtMs - queuedAtMs);
  }

  /** Writes the state of an attempt that the log will not tell again. */
  private keep(attempt: Attempt, key: string): void {
    if (this.memory.attempts.old.has(key)) this.state.push(openRecord(key, attempt));
  }

  private end(
    pool: PoolBuckets,
    attempt: Attempt,
    { data, phase }: { data: CountedEvent['data']; phase: Phase },
  ): void {
    const endedAtMs = data.endedAtMs as number;
    const bucket = pool.at(endedAtMs);
    if (!attempt.started) {
      bucket.abandonments++;
      if (data.errorClass === 'rejected') bucket.rejections++;
      return;
    }
    const { queuedAtMs, startedAtMs } = knownTimes(attempt, data);
    // One that fails has had its slot as long, and is among the arrivals.
    pool.measure(bucket.serviceMs, endedAtMs - startedAtMs);
    if (phase === 'failed') bucket.failures++;
    else {
      bucket.completions++;
      pool.measure(bucket.responseMs, endedAtMs - queuedAtMs);
    }
  }

  /** What time alone does: attempts expire, get their state written, or are forgotten. */
  private age(nowMs: number): void {
    this.memory.nowMs = nowMs;
    const { attempts } = this.memory;
    const { dedupeWindowS, maxExecutionS } = this.input.settings;
    for (const [key, attempt] of overdue(attempts, nowMs - maxExecutionS * 1000)) this.expire(key, attempt);
    for (const [key, attempt] of takeAgeing(attempts, nowMs - statelessMs(dedupeWindowS))) {
      this.state.push(openRecord(key, attempt));
    }
    const { early, toMs } = forgetEnded(attempts, nowMs - dedupeWindowS * 1000);
    this.counts.forgottenEarly += early;
    for (const key of takeForgotten(attempts, toMs)) this.state.push({ key: `expired:${key}`, value: null });
  }

  private expire(key: string, attempt: Attempt): void {
    const { nowMs, attempts } = this.memory;
    const bucket = this.poolOf(attempt.pool).at(nowMs);
    if (attempt.started) bucket.expiredStarted++;
    else bucket.expiredQueued++;
    this.counts.expired++;
    this.close(key);
    attempts.expired.set(key, nowMs);
    this.state.push({ key: `expired:${key}`, value: String(nowMs) });
  }

  private close(key: string): void {
    if (endAttempt(this.memory.attempts, key, this.memory.nowMs))
      this.state.push({ key: `open:${key}`, value: null });
  }

  private poolOf(name: string): PoolBuckets {
    let pool = this.pools.get(name);
    if (pool === undefined) {
      pool = new PoolBuckets(this.input.poolSettings(name));
      this.pools.set(name, pool);
    }
    return pool;
  }
}

/** An attempt. Ids are the sender's: those of different pools have nothing to do with each other. */
function keyOf({ subject, data }: CountedEvent): string {
  return `${data.pool}/${subject}/${data.attempt}`;
}

/** When that happened which the event is about, epoch ms. */
function momentOf(phase: Phase, { queuedAtMs, startedAtMs, endedAtMs }: CountedEvent['data']): number {
  if (phase === 'queued') return queuedAtMs;
  return (phase === 'started' ? startedAtMs : endedAtMs) as number;
}

interface Refused {
  reason: DeadLetterReason;
  detail: string;
}

/**
 * Judged by the record's own log time, not by the largest one seen: after a clock that was hours ahead has been
 * corrected, everything would be too old until it catches up.
 */
function refuseUntimely(
  { queuedAtMs, startedAtMs, endedAtMs }: CountedEvent['data'],
  nowMs: number,
  { maxFutureS, maxAgeS }: IngestSettings,
): Refused | undefined {
  const newestMs = endedAtMs ?? startedAtMs ?? queuedAtMs;
  if (newestMs > nowMs + maxFutureS * 1000) {
    const aheadS = Math.round((newestMs - nowMs) / 1000);
    return { reason: 'future', detail: `times at most ${maxFutureS} s ahead, got ${aheadS} s` };
  }
  if (queuedAtMs < nowMs - maxAgeS * 1000) {
    const agoS = Math.round((nowMs - queuedAtMs) / 1000);
    return { reason: 'too_old', detail: `queuedAtMs at most ${maxAgeS} s ago, got ${agoS} s` };
  }
  return undefined;
}

function openRecord(key: string, attempt: Attempt): StateRecord {
  return { key: `open:${key}`, value: JSON.stringify(attempt) };
}

/** An attempt that is open for longer has its state written, so that the log need not be read back to its start. */
function statelessMs(dedupeWindowS: number): number {
  return dedupeWindowS * 500;
}

/** A partition's state between its records in the state topic and the memory they were written from. */
export interface RestoredIngest {
  memory: IngestMemory;
  /** Next offset to consume; 0 when nothing was ever committed. */
  to: number;
  /** Records since this log time, up to `to`, must be replayed: a window and a half. */
  replayFromMs: number;
  /** The window that the state was written with: the settings may have changed since. */
  dedupeWindowS: number;
  /** Attempts that expired, with the log time of it; oldest first. Replay takes them as it reaches their time. */
  expiries: [string, number][];
  /** Log time that the replay has reached. */
  replayedMs: number;
}

interface Progress {
  to: number;
  nowMs: number;
  watermarkMs: number;
  dedupeWindowS: number;
}

/**
 * A restart in three steps: `restoreIngest` with the state topic's records of the partition, in order; `replayIngest`
 * with what the log holds of `replayFromMs` … `to`, in order, in as many pieces as convenient; `resumeIngest`. The
 * memory then behaves as the one that was lost (unless attempts were forgotten early).
 */
export function restoreIngest(state: StateRecord[]): RestoredIngest {
  const memory = newIngestMemory();
  let progress: Progress = { to: 0, nowMs: 0, watermarkMs: 0, dedupeWindowS: 0 };
  const open: [string, Attempt][] = [];
  const expiries: [string, number][] = [];
  for (const [name, value] of new Map(state.map((record) => [record.key, record.value]))) {
    if (value === null) continue;
    const [kind, key] = [name.slice(0, name.indexOf(':') + 1), name.slice(name.indexOf(':') + 1)];
    if (name === 'progress') progress = JSON.parse(value) as Progress;
    if (kind === 'chain:') memory.chains.set(key, JSON.parse(value) as PoolChain);
    if (kind === 'open:') open.push([key, JSON.parse(value) as Attempt]);
    if (kind === 'expired:') expiries.push([key, Number(value)]);
  }
  memory.attempts.old = new Map(open.sort(([, a], [, b]) => a.firstSeenMs - b.firstSeenMs));
  expiries.sort(([, a], [, b]) => a - b);
  memory.attempts.expired = new Map(expiries);
  const { to, nowMs, watermarkMs, dedupeWindowS } = progress;
  Object.assign(memory, { nowMs, watermarkMs });
  const replayFromMs = nowMs - dedupeWindowS * 1000 - statelessMs(dedupeWindowS);
  return { memory, to, replayFromMs, dedupeWindowS, expiries, replayedMs: 0 };
}

/** Records that were counted already tell again which attempts are open and which have ended. */
export function replayIngest(
  records: IngestRecord[],
  restored: RestoredIngest,
  settings: IngestSettings,
): void {
  const { attempts, chains } = restored.memory;
  for (const { offset, timestampMs, parsed } of records) {
    const isBack = timestampMs < restored.replayedMs;
    if (!isBack || isOverfull(attempts)) replayTime(Math.max(timestampMs, restored.replayedMs), restored);
    if (!parsed.ok || offset < (chains.get(parsed.event.data.pool)?.since ?? Infinity)) continue;
    const key = keyOf(parsed.event);
    const refused = refuseUntimely(parsed.event.data, timestampMs, settings) !== undefined;
    if (!refused && !attempts.old.has(key)) replayEvent(key, parsed.event, restored);
  }
}

/** Last step of a restart. */
export function resumeIngest(restored: RestoredIngest): IngestMemory {
  const { memory } = restored;
  const { ended, expired } = memory.attempts;
  replayTime(memory.nowMs, restored);
  // Only when the log has lost records of the window: remembered for another window, so that its state is deleted.
  for (const key of expired.keys()) if (!ended.has(key)) tellEnded(memory.attempts, key, memory.nowMs);
  return memory;
}

function replayTime(timeMs: number, restored: RestoredIngest): void {
  const { attempts } = restored.memory;
  restored.replayedMs = timeMs;
  while ((restored.expiries[0]?.[1] ?? Infinity) <= timeMs) {
    const [key, expiredMs] = restored.expiries.shift() as [string, number];
    endAttempt(attempts, key, expiredMs);
  }
  forgetEnded(attempts, timeMs - restored.dedupeWindowS * 1000);
}

/** An event of an attempt that is not in the state topic, so it is young or over. */
function replayEvent(key: string, { type, data }: CountedEvent, restored: RestoredIngest): void {
  const { memory, replayedMs, dedupeWindowS } = restored;
  const { young, ended } = memory.attempts;
  const phase = phaseOf(type);
  // Were it open and this long known, the state topic would hold it: it has ended since, or had ended before.
  const mayBeOpen = replayedMs > memory.nowMs - statelessMs(dedupeWindowS);
  if (ended.has(key) || !mayBeOpen || phase === 'completed' || phase === 'failed') {
    endAttempt(memory.attempts, key, replayedMs);
    return;
  }
  const attempt = young.get(key) ?? newAttempt(data, replayedMs);
  noteTimes(attempt, data);
  attempt.started ||= phase === 'started';
  young.set(key, attempt);
}
