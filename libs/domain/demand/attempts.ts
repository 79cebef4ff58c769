import type { CountedEvent } from '#domain/events';
import { MAX_BYTES_PER_KEY, RecentKeys } from './recent-keys.js';

/**
 * What one source partition knows about the attempts it has seen.
 *
 *   first event ──▶ young ──half a window──▶ old* ──maxExecutionS──▶ expired*
 *                     │                       │                         │
 *                     └────── its end ────────┴────────▶ ended ◀────────┘
 *                              told again: stays ──▲──┘   └── not told for a window ──▶ forgotten
 *
 * What has a star is kept in ingest-state.v1; the rest is told again by the log of the last window and a half.
 */
export interface Attempt {
  pool: string;
  queuedAtMs: number;
  /** `queuedAtMs` is not known but assumed: no wait and no response time can be measured by it. */
  queuedAssumed?: true;
  started: boolean;
  /** When it started, the last time when it did so again; not there while nobody has told. */
  startedAtMs?: number;
  /** Log time of its first event. */
  firstSeenMs: number;
}

export interface Attempts {
  /** First seen less than half a dedupe window ago: found again by reading the log. Oldest first. */
  young: Map<string, Attempt>;
  /** In flight for longer: found again in the state topic. Oldest first. */
  old: Map<string, Attempt>;
  /** Ended or expired, by the log time they were last told of, within the dedupe window. */
  ended: RecentKeys;
  /** Those of `ended` that no event ended, with the same time: the log does not tell it, so the state topic does. */
  expired: Map<string, number>;
}

/** Attempts in flight on one partition. The oldest expire early when there are more (looked at as time moves on). */
export const MAX_OPEN_ATTEMPTS = 200_000;
/**
 * What the ended attempts of one partition may take, which are as many as end within a dedupe window: at 80,000 a second
 * over 12 partitions two million in 300 s. With more of them the window gets shorter.
 */
export const MAX_ENDED_BYTES = 128 * 1024 * 1024;
export const MAX_ENDED_ATTEMPTS = Math.floor(MAX_ENDED_BYTES / MAX_BYTES_PER_KEY);

/** A time that the sender of an event knows; undefined when it has none, or only assumes it. */
export function toldMs(data: CountedEvent['data'], time: 'queuedAtMs' | 'startedAtMs'): number | undefined {
  return data.assumed?.includes(time) ? undefined : data[time];
}

/** Keeps of an open attempt what later events may not know. True: something was new. */
export function noteTimes(attempt: Attempt, data: CountedEvent['data']): boolean {
  const queuedAtMs = toldMs(data, 'queuedAtMs');
  const startedAtMs = toldMs(data, 'startedAtMs');
  const isQueueNew = attempt.queuedAssumed === true && queuedAtMs !== undefined;
  if (isQueueNew) {
    delete attempt.queuedAssumed;
    attempt.queuedAtMs = queuedAtMs;
  }
  // A platform that does not number its tries says "started" again: the service time runs from the last one.
  const isStartNew = startedAtMs !== undefined && startedAtMs > (attempt.startedAtMs ?? -Infinity);
  if (isStartNew) attempt.startedAtMs = startedAtMs;
  return isQueueNew || isStartNew;
}

/** Times to measure by: those of the event, else of earlier ones. NaN, which no sketch takes: nobody has told. */
export function knownTimes(
  attempt: Attempt,
  data: CountedEvent['data'],
): { queuedAtMs: number; startedAtMs: number } {
  const earlierMs = attempt.queuedAssumed ? Number.NaN : attempt.queuedAtMs;
  return {
    queuedAtMs: toldMs(data, 'queuedAtMs') ?? earlierMs,
    startedAtMs: toldMs(data, 'startedAtMs') ?? attempt.startedAtMs ?? Number.NaN,
  };
}

/** The attempt as its first event tells it. */
export function newAttempt(data: CountedEvent['data'], firstSeenMs: number): Attempt {
  const { pool, queuedAtMs } = data;
  const attempt: Attempt = { pool, queuedAtMs, started: false, firstSeenMs };
  if (toldMs(data, 'queuedAtMs') === undefined) attempt.queuedAssumed = true;
  noteTimes(attempt, data);
  return attempt;
}

export function noAttempts(): Attempts {
  return { young: new Map(), old: new Map(), ended: new RecentKeys(), expired: new Map() };
}

export function openAttempt({ young, old }: Attempts, key: string): Attempt | undefined {
  return young.get(key) ?? old.get(key);
}

/** Remembers that an attempt is over. True: its state record must be deleted. */
export function endAttempt(attempts: Attempts, key: string, nowMs: number): boolean {
  attempts.young.delete(key);
  tellEnded(attempts, key, nowMs);
  return attempts.old.delete(key);
}

/** An event of an attempt that is over: its window starts again. */
export function tellEnded({ ended, expired }: Attempts, key: string, nowMs: number): void {
  ended.tell(key, nowMs);
  // A Map keeps the place of the first insertion.
  if (expired.size > 0 && expired.delete(key)) expired.set(key, nowMs);
}

/** Attempts that the log will not tell again after a restart, moved to `old`: their state must be written. */
export function takeAgeing(attempts: Attempts, beforeMs: number): [string, Attempt][] {
  const ageing: [string, Attempt][] = [];
  for (const [key, attempt] of attempts.young) {
    if (attempt.firstSeenMs > beforeMs) break;
    ageing.push([key, attempt]);
  }
  for (const [key, attempt] of ageing) {
    attempts.young.delete(key);
    attempts.old.set(key, attempt);
  }
  return ageing;
}

/** Open attempts first seen before a time, and the oldest beyond the bound. */
export function overdue(attempts: Attempts, beforeMs: number): [string, Attempt][] {
  let surplus = attempts.old.size + attempts.young.size - MAX_OPEN_ATTEMPTS;
  const found: [string, Attempt][] = [];
  for (const open of [attempts.old, attempts.young]) {
    for (const [key, attempt] of open) {
      if (surplus-- <= 0 && attempt.firstSeenMs > beforeMs) break;
      found.push([key, attempt]);
    }
  }
  return found;
}

/** More attempts than the bounds allow: aging takes the surplus away. */
export function isOverfull({ young, old, ended }: Attempts): boolean {
  return young.size + old.size > MAX_OPEN_ATTEMPTS || ended.size > MAX_ENDED_ATTEMPTS;
}

/** Forgets what was last told of before a time, and the oldest beyond the bound: those are forgotten `early`. */
export function forgetEnded({ ended }: Attempts, beforeMs: number): { early: number; toMs: number } {
  return ended.forget(beforeMs, MAX_ENDED_ATTEMPTS);
}

/** Takes out the expired ones that were forgotten, up to one told of at this time: their state must be deleted. */
export function takeForgotten({ ended, expired }: Attempts, toMs: number): string[] {
  const forgotten: string[] = [];
  for (const [key, toldMs] of expired) {
    if (toldMs > toMs) break;
    if (ended.has(key)) continue;
    expired.delete(key);
    forgotten.push(key);
  }
  return forgotten;
}
