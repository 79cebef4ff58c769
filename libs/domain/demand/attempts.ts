/**
 * What one source partition knows about the attempts it has seen.
 *
 *   first event ──▶ young ──half a window──▶ old ──maxExecutionS──▶ expired
 *                     │                       │ (kept in ingest-state.v1)  │
 *                     └────── its end ────────┴───────────▶ ended ◀────────┘
 *                                                  └──window──▶ forgotten
 */
export interface Attempt {
  pool: string;
  queuedAtMs: number;
  started: boolean;
  /** Log time of its first event. */
  firstSeenMs: number;
}

export interface Attempts {
  /** First seen less than half a dedupe window ago: found again by reading the log. Oldest first. */
  young: Map<string, Attempt>;
  /** In flight for longer: found again in the state topic. Oldest first. */
  old: Map<string, Attempt>;
  /** Ended or expired within the dedupe window, by the log time of their end. Oldest first. */
  ended: Map<string, number>;
}

/** Attempts in flight on one partition. The oldest expire early when there are more. */
export const MAX_OPEN_ATTEMPTS = 200_000;
/** Ended attempts remembered on one partition. The dedupe window gets shorter when there are more. */
export const MAX_ENDED_ATTEMPTS = 300_000;

export function noAttempts(): Attempts {
  return { young: new Map(), old: new Map(), ended: new Map() };
}

export function openAttempt(attempts: Attempts, key: string): Attempt | undefined {
  return attempts.young.get(key) ?? attempts.old.get(key);
}

/** Remembers that an attempt is over. True: its state record must be deleted. */
export function endAttempt(attempts: Attempts, key: string, nowMs: number): boolean {
  attempts.young.delete(key);
  attempts.ended.set(key, nowMs);
  return attempts.old.delete(key);
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

/** Forgets what ended before a time; returns how many were forgotten early, for want of room. */
export function forgetEnded(attempts: Attempts, beforeMs: number): number {
  let early = 0;
  for (const [key, endedMs] of attempts.ended) {
    const full = attempts.ended.size > MAX_ENDED_ATTEMPTS;
    if (endedMs > beforeMs && !full) break;
    if (endedMs > beforeMs) early++;
    attempts.ended.delete(key);
  }
  return early;
}
