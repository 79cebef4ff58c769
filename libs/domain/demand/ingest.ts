import { phaseOf, type ExecutionEvent, type ParsedEvent, type Refusal } from '#domain/events';
import {
  endAttempt,
  forgetEnded,
  noAttempts,
  openAttempt,
  overdue,
  takeAgeing,
  type Attempt,
  type Attempts,
} from './attempts.js';
import { bucketStartMs, emptyBucket, type Bucket, type DemandPartial } from './bucket.js';
import { addToSketch } from './sketch.js';

/** Why a record of `executions.v1` counts nowhere: a counter each, and the reason in the dead-letter topic. */
export type DeadLetterReason = Refusal | 'future' | 'too_old' | 'too_many_pools';

export interface IngestSettings {
  /** An event that is sent again within this time counts once. */
  dedupeWindowS: number;
  /** An attempt whose end was not seen for this long leaves backlog and in-flight. */
  maxExecutionS: number;
  /** An event dated further ahead of the log's clock is refused. */
  maxFutureS: number;
  /** An event that was queued longer ago is refused. At least maxExecutionS. */
  maxAgeS: number;
}

export interface IngestRecord {
  offset: number;
  /** When the log took it, epoch ms: the clock of all windows, so that reading again gives the same result. */
  timestampMs: number;
  parsed: ParsedEvent;
}

export interface IngestInput {
  partition: number;
  /** Consecutive records of the partition; not empty. */
  records: IngestRecord[];
  settings: IngestSettings;
  /** Bucket length and lateness of a pool; undefined when it is one pool too many. */
  poolSettings(pool: string): { bucketS: number; latenessS: number } | undefined;
}

/** State of one source partition. Belongs to the step: it is changed in place. */
export interface IngestMemory {
  attempts: Attempts;
  /** `to` of each pool's last partial from this partition. */
  chains: Map<string, number>;
  /** Largest event time seen, epoch ms. */
  watermarkMs: number;
  /** Largest log time seen, epoch ms: never goes back. */
  nowMs: number;
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
    /** Corrected a bucket that was final. */
    late: number;
    expired: number;
    /** Ended attempts forgotten before the dedupe window was over. */
    forgottenEarly: number;
  };
}

export function newIngestMemory(): IngestMemory {
  return { attempts: noAttempts(), chains: new Map(), watermarkMs: 0, nowMs: 0 };
}

/**
 * Counts the records of one partition: what they add to each pool's buckets, what must be known after a restart, and
 * what could not be used. An event implies the earlier phases of its attempt, each of which counts once, in any order.
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
    this.memory.nowMs = Math.max(this.memory.nowMs, timestampMs);
    const refused = parsed.ok ? this.refusal(parsed.event) : parsed;
    if (refused !== undefined) {
      this.deadLetters.push({ offset, reason: refused.reason, detail: refused.detail });
    } else if (parsed.ok) {
      this.count(parsed.event);
    }
  }

  finish(): IngestOutput {
    const { partition, records } = this.input;
    this.age();
    const to = (records.at(-1) as IngestRecord).offset + 1;
    const partials = [...this.buckets].map(([pool, buckets]): DemandPartial => {
      const from = this.memory.chains.get(pool) ?? -1;
      this.memory.chains.set(pool, to);
      this.state.push({ key: `chain:${pool}`, value: String(to) });
      const { bucketS } = this.settingsOf(pool);
      const range = { partition, from, to };
      return {
        v: 1,
        pool,
        bucketS,
        range,
        watermarkMs: this.memory.watermarkMs,
        buckets: [...buckets.values()],
      };
    });
    const progress = { to, nowMs: this.memory.nowMs, watermarkMs: this.memory.watermarkMs };
    this.state.push({ key: 'progress', value: JSON.stringify(progress) });
    return { partials, state: this.state, deadLetters: this.deadLetters, counts: this.counts };
  }

  private refusal({ data }: ExecutionEvent): Refused | undefined {
    const untimely = refuseUntimely(data, this.memory.nowMs, this.input.settings);
    if (untimely !== undefined || this.input.poolSettings(data.pool) !== undefined) return untimely;
    return { reason: 'too_many_pools', detail: `no room for pool ${data.pool} (ingest.maxPools)` };
  }

  private count(event: ExecutionEvent): void {
    const { attempts } = this.memory;
    const key = `${event.subject}/${event.data.attempt}`;
    const phase = phaseOf(event.type);
    const known = openAttempt(attempts, key);
    const newStart = phase !== 'queued' && event.data.startedAtMs !== undefined && !known?.started;
    const ends = phase === 'completed' || phase === 'failed';
    if (attempts.ended.has(key) || (known !== undefined && !newStart && !ends)) {
      this.counts.duplicates++;
      return;
    }
    const attempt = known ?? this.arrive(key, event);
    if (newStart) this.start(attempt, event, key);
    if (ends) this.end(attempt, event, key);
    this.advance(event);
  }

  private arrive(key: string, { data }: ExecutionEvent): Attempt {
    const { pool, queuedAtMs } = data;
    const bucket = this.bucketAt(pool, queuedAtMs);
    if (data.attempt === 1) bucket.arrivals++;
    else bucket.retries++;
    const attempt = { pool, queuedAtMs, started: false, firstSeenMs: this.memory.nowMs };
    this.memory.attempts.young.set(key, attempt);
    return attempt;
  }

  private start(attempt: Attempt, { data }: ExecutionEvent, key: string): void {
    const startedAtMs = data.startedAtMs as number;
    attempt.started = true;
    const bucket = this.bucketAt(attempt.pool, startedAtMs);
    bucket.starts++;
    addToSketch(bucket.waitMs, startedAtMs - data.queuedAtMs);
    if (this.memory.attempts.old.has(key)) this.state.push(openRecord(key, attempt));
  }

  private end(attempt: Attempt, { type, data }: ExecutionEvent, key: string): void {
    const endedAtMs = data.endedAtMs as number;
    const bucket = this.bucketAt(attempt.pool, endedAtMs);
    if (!attempt.started) {
      bucket.abandonments++;
      if (data.errorClass === 'rejected') bucket.rejections++;
    } else if (phaseOf(type) === 'failed') {
      bucket.failures++;
    } else {
      bucket.completions++;
      addToSketch(bucket.serviceMs, endedAtMs - (data.startedAtMs as number));
      addToSketch(bucket.responseMs, endedAtMs - data.queuedAtMs);
    }
    this.close(key);
  }

  /** Moves the watermark; an event behind it by more than the lateness has corrected a final bucket. */
  private advance({ data }: ExecutionEvent): void {
    const { bucketS, latenessS } = this.settingsOf(data.pool);
    const eventMs = data.endedAtMs ?? data.startedAtMs ?? data.queuedAtMs;
    const finalMs = bucketStartMs(eventMs, bucketS) + (bucketS + latenessS) * 1000;
    if (finalMs <= this.memory.watermarkMs) this.counts.late++;
    this.memory.watermarkMs = Math.max(this.memory.watermarkMs, eventMs);
  }

  /** What time alone does: attempts expire, get their state written, or are forgotten. */
  private age(): void {
    const { attempts, nowMs } = this.memory;
    const { dedupeWindowS, maxExecutionS } = this.input.settings;
    for (const [key, attempt] of overdue(attempts, nowMs - maxExecutionS * 1000)) {
      const bucket = this.bucketAt(attempt.pool, nowMs);
      if (attempt.started) bucket.expiredStarted++;
      else bucket.expiredQueued++;
      this.counts.expired++;
      this.close(key);
    }
    for (const [key, attempt] of takeAgeing(attempts, nowMs - statelessMs(this.input.settings))) {
      this.state.push(openRecord(key, attempt));
    }
    this.counts.forgottenEarly += forgetEnded(attempts, nowMs - dedupeWindowS * 1000);
  }

  private close(key: string): void {
    if (endAttempt(this.memory.attempts, key, this.memory.nowMs))
      this.state.push({ key: `open:${key}`, value: null });
  }

  private bucketAt(pool: string, timeMs: number): Bucket {
    const buckets = this.buckets.get(pool) ?? new Map<number, Bucket>();
    this.buckets.set(pool, buckets);
    const startMs = bucketStartMs(timeMs, this.settingsOf(pool).bucketS);
    const bucket = buckets.get(startMs) ?? emptyBucket(startMs);
    buckets.set(startMs, bucket);
    return bucket;
  }

  private settingsOf(pool: string): { bucketS: number; latenessS: number } {
    const settings = this.input.poolSettings(pool);
    if (settings === undefined)
      throw new Error(`ingest: a pool that was accepted once must stay, got ${pool}`);
    return settings;
  }
}

interface Refused {
  reason: DeadLetterReason;
  detail: string;
}

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
function statelessMs({ dedupeWindowS }: IngestSettings): number {
  return dedupeWindowS * 500;
}

/** What is left of a partition's state records: where it stands, and how far back the log must be read. */
export interface RestoredIngest {
  memory: IngestMemory;
  /** Next offset to consume; 0 when nothing was ever committed. */
  to: number;
  /**
   * Records since this log time, up to `to`, must be replayed: the window, and half of it again, so that an event that
   * was sent again after its attempt had ended is recognised as such.
   */
  replayFromMs: number;
}

interface Progress {
  to: number;
  nowMs: number;
  watermarkMs: number;
}

/** First half of a restart: the state topic's records of the partition, in order. */
export function restoreIngest(state: StateRecord[], settings: IngestSettings): RestoredIngest {
  const memory = newIngestMemory();
  let progress: Progress = { to: 0, nowMs: 0, watermarkMs: 0 };
  const open: [string, Attempt][] = [];
  for (const [key, value] of new Map(state.map((record) => [record.key, record.value]))) {
    if (value === null) continue;
    if (key === 'progress') progress = JSON.parse(value) as Progress;
    if (key.startsWith('chain:')) memory.chains.set(key.slice('chain:'.length), Number(value));
    if (key.startsWith('open:')) open.push([key.slice('open:'.length), JSON.parse(value) as Attempt]);
  }
  open.sort(([, a], [, b]) => a.firstSeenMs - b.firstSeenMs);
  memory.attempts.old = new Map(open);
  memory.watermarkMs = progress.watermarkMs;
  memory.nowMs = progress.nowMs;
  const replayFromMs = progress.nowMs - settings.dedupeWindowS * 1000 - statelessMs(settings);
  return { memory, to: progress.to, replayFromMs };
}

/** Second half: records that were counted already tell again which attempts are open and which have ended. */
export function replayIngest(records: IngestRecord[], memory: IngestMemory, settings: IngestSettings): void {
  const { attempts, chains, nowMs } = memory;
  for (const { timestampMs, parsed } of records) {
    if (!parsed.ok || !chains.has(parsed.event.data.pool)) continue;
    const { type, subject, data } = parsed.event;
    if (refuseUntimely(data, timestampMs, settings) !== undefined) continue;
    const key = `${subject}/${data.attempt}`;
    const phase = phaseOf(type);
    if (attempts.ended.has(key)) continue;
    if (phase === 'completed' || phase === 'failed') {
      endAttempt(attempts, key, timestampMs);
    } else if (!attempts.old.has(key) && timestampMs > nowMs - statelessMs(settings)) {
      const first = {
        pool: data.pool,
        queuedAtMs: data.queuedAtMs,
        started: false,
        firstSeenMs: timestampMs,
      };
      const attempt = attempts.young.get(key) ?? first;
      attempt.started ||= phase === 'started';
      attempts.young.set(key, attempt);
    }
  }
}
