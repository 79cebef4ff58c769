/**
 * The latest closed buckets as √arrivals, NaN where missing, in a ring: bucket i (counted from the first one ever
 * seen) lies at i mod length.
 *
 *   end − length ┄┄ oldest kept ──────────── end − 1: the last closed bucket
 */
export interface History {
  ring: Float32Array;
  /** Index of the next bucket. */
  end: number;
  /** Index of the last bucket that was not missing; −1 before the first. */
  lastKnown: number;
  /** Buckets that were not missing, ever. */
  known: number;
}

export function newHistory(buckets: number): History {
  return { ring: new Float32Array(buckets).fill(NaN), end: 0, lastKnown: -1, known: 0 };
}

export function push(history: History, root: number): void {
  history.ring[history.end % history.ring.length] = root;
  if (!Number.isNaN(root)) {
    history.lastKnown = history.end;
    history.known++;
  }
  history.end++;
}

/** Replaces what is remembered of bucket i, if anything is. */
export function correct(history: History, index: number, root: number): void {
  const was = rootAt(history, index);
  if (Number.isNaN(was) || Number.isNaN(root)) return;
  history.ring[index % history.ring.length] = root;
}

/** √arrivals of bucket i; NaN when it is missing, no longer kept, or not closed yet. */
export function rootAt({ ring, end }: History, index: number): number {
  if (index < 0 || index >= end || index < end - ring.length) return NaN;
  return ring[index % ring.length] as number;
}

/** Mean √arrivals of the known buckets in [from, to]; NaN when there is none. */
export function meanBetween(history: History, { from, to }: { from: number; to: number }): number {
  const { ring, end } = history;
  const first = Math.max(from, 0, end - ring.length);
  const last = Math.min(to, end - 1);
  let [sum, known, slot] = [0, 0, first % ring.length];
  for (let index = first; index <= last; index++) {
    const root = ring[slot] as number;
    if (root === root) {
      sum += root;
      known++;
    }
    if (++slot === ring.length) slot = 0;
  }
  return known === 0 ? NaN : sum / known;
}

/** Mean √arrivals of the known buckets among the `buckets` that end with bucket `last`. */
export function meanUpTo(history: History, { last, buckets }: { last: number; buckets: number }): number {
  return meanBetween(history, { from: last - buckets + 1, to: last });
}
