import { phaseOf, type ExecutionEvent, type ParsedEvent, type Phase, type Refusal } from '#domain/events';
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
  tellEnded,
  type Attempt,
  type Attempts,
} from './attempts.js';
import { bucketStartMs, emptyBucket, type Bucket, type DemandPartial } from './bucket.js';
import { addToSketch } from './sketch.js';

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
  parsed: ParsedEvent | { ok: false; reason: 'unreadable'; detail: string };
}

export interface IngestInput {
  partition: number;
  /** Consecutive records of the partition; not empty. */
  records: IngestRecord[];
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
  for (const record of input.records) step.take(record);
  return { output: step.finish(), memory };
}

/** One step over one partition: buckets by pool, and the state that changed. */
class Step {
  private readonly buckets = new Map<string, Map<number, Bucket>>();
  private readonly state: StateRecord[] = [];
  private readonly deadLetters: DeadLetter[] = [];
  private readonly counts = { duplicates: 0, late: 0, expired: 0, forgottenEarly: 0 };

  constructor(
    private readonly input: IngestInput,
    private readonly memory: IngestMemory,
  ) {}

  take({ offset, timestampMs, parsed }: IngestRecord): void {
    const { nowMs, attempts } = this.memory;
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
    const { partition, records, settings } = this.input;
    const to = (records.at(-1) as IngestRecord).offset + 1;
    const { nowMs, watermarkMs } = this.memory;
    const partials = [...this.buckets].map(([pool, buckets]): DemandPartial => {
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
        buckets: [...buckets.values()],
      };
    });
    const progress: Progress = { to, nowMs, watermarkMs, dedupeWindowS: settings.dedupeWindowS };
    this.state.push({ key: 'progress', value: JSON.stringify(progress) });
    return { partials, state: this.state, deadLetters: this.deadLetters, counts: this.counts };
  }

  private refusal({ data }: ExecutionEvent, timestampMs: number): Refused | undefined {
    const untimely = refuseUntimely(data, timestampMs, this.input.settings);
    if (untimely !== undefined || this.input.admits(data.pool)) return untimely;
    return { reason: 'too_many_pools', detail: `no room for pool ${data.pool} (ingest.maxPools)` };
  }

  private count(event: ExecutionEvent, offset: number): void {
    const { attempts } = this.memory;
    const key = keyOf(event);
    const phase = phaseOf(event.type);
    const known = openAttempt(attempts, key);
    const newStart = phase !== 'queued' && event.data.startedAtMs !== undefined && !known?.started;
    const ends = phase === 'completed' || phase === 'failed';
    if (attempts.ended.has(key)) tellEnded(attempts, key, this.memory.nowMs);
    const isNews = known !== undefined && noteTimes(known, event.data);
    if (attempts.ended.has(key) || (known !== undefined && !newStart && !ends)) {
      if (isNews) this.keep(known, key);
      this.counts.duplicates++;
      return;
    }
    if (this.isLate(event, known === undefined)) this.counts.late++;
    const attempt = known ?? this.arrive(key, event, offset);
    if (newStart) this.start(attempt, event, key);
    if (ends) this.end(attempt, event, key);
  }

  /** The start that an end tells, too, is no news that is late: it is as old as the execution is long. */
  private isLate({ type, data }: ExecutionEvent, isArrival: boolean): boolean {
    const { bucketS, latenessS } = this.input.poolSettings(data.pool);
    const isFinal = (timeMs: number) =>
      bucketStartMs(timeMs, bucketS) + (bucketS + latenessS) * 1000 <= this.memory.watermarkMs;
    return isFinal(momentOf(phaseOf(type), data)) || (isArrival && isFinal(data.queuedAtMs));
  }

  private watch({ data }: ExecutionEvent, timestampMs: number): void {
    const { queuedAtMs, startedAtMs = queuedAtMs, endedAtMs = startedAtMs } = data;
    this.memory.watermarkMs = Math.max(this.memory.watermarkMs, Math.min(endedAtMs, timestampMs));
  }

  private arrive(key: string, { data }: ExecutionEvent, offset: number): Attempt {
    const { pool, queuedAtMs } = data;
    if (!this.memory.chains.has(pool)) this.memory.chains.set(pool, { since: offset, to: -1 });
    const bucket = this.bucketAt(pool, queuedAtMs);
    if (data.attempt === 1) bucket.arrivals++;
    else bucket.retries++;
    const attempt = newAttempt(data, this.memory.nowMs);
    this.memory.attempts.young.set(key, attempt);
    return attempt;
  }

  private start(attempt: Attempt, { data }: ExecutionEvent, key: string): void {
    attempt.started = true;
    const bucket = this.bucketAt(attempt.pool, data.startedAtMs as number);
    bucket.starts++;
    const { queuedAtMs, startedAtMs } = knownTimes(attempt, data);
    addToSketch(bucket.waitMs, startedAtMs - queuedAtMs);
    this.keep(attempt, key);
  }

  /** Writes the state of an attempt that the log will not tell again. */
  private keep(attempt: Attempt, key: string): void {
    if (this.memory.attempts.old.has(key)) this.state.push(openRecord(key, attempt));
  }

  private end(attempt: Attempt, { type, data }: ExecutionEvent, key: string): void {
    const endedAtMs = data.endedAtMs as number;
    const bucket = this.bucketAt(attempt.pool, endedAtMs);
    if (!attempt.started) {
      bucket.abandonments++;
      if (data.errorClass === 'rejected') bucket.rejections++;
    } else {
      const { queuedAtMs, startedAtMs } = knownTimes(attempt, data);
      // One that fails has had its slot as long, and is among the arrivals.
      addToSketch(bucket.serviceMs, endedAtMs - startedAtMs);
      if (phaseOf(type) === 'failed') bucket.failures++;
      else {
        bucket.completions++;
        addToSketch(bucket.responseMs, endedAtMs - queuedAtMs);
      }
    }
    this.close(key);
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
    const { forgotten, early } = forgetEnded(attempts, nowMs - dedupeWindowS * 1000);
    this.counts.forgottenEarly += early;
    for (const key of forgotten) {
      if (attempts.expired.delete(key)) this.state.push({ key: `expired:${key}`, value: null });
    }
  }

  private expire(key: string, attempt: Attempt): void {
    const bucket = this.bucketAt(attempt.pool, this.memory.nowMs);
    if (attempt.started) bucket.expiredStarted++;
    else bucket.expiredQueued++;
    this.counts.expired++;
    this.close(key);
    this.memory.attempts.expired.add(key);
    this.state.push({ key: `expired:${key}`, value: String(this.memory.nowMs) });
  }

  private close(key: string): void {
    if (endAttempt(this.memory.attempts, key, this.memory.nowMs))
      this.state.push({ key: `open:${key}`, value: null });
  }

  private bucketAt(pool: string, timeMs: number): Bucket {
    const buckets = this.buckets.get(pool) ?? new Map<number, Bucket>();
    this.buckets.set(pool, buckets);
    const startMs = bucketStartMs(timeMs, this.input.poolSettings(pool).bucketS);
    const bucket = buckets.get(startMs) ?? emptyBucket(startMs);
    buckets.set(startMs, bucket);
    return bucket;
  }
}

/** An attempt. Ids are the sender's: those of different pools have nothing to do with each other. */
function keyOf({ subject, data }: ExecutionEvent): string {
  return `${data.pool}/${subject}/${data.attempt}`;
}

/** When that happened which the event is about, epoch ms. */
function momentOf(phase: Phase, { queuedAtMs, startedAtMs, endedAtMs }: ExecutionEvent['data']): number {
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
  { queuedAtMs, startedAtMs, endedAtMs }: ExecutionEvent['data'],
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
  memory.attempts.expired = new Set(expiries.map(([key]) => key));
  expiries.sort(([, a], [, b]) => a - b);
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
  for (const key of expired) if (!ended.has(key)) tellEnded(memory.attempts, key, memory.nowMs);
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
function replayEvent(key: string, { type, data }: ExecutionEvent, restored: RestoredIngest): void {
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
