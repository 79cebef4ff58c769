/** What a pool needed at a time. */
export interface DesiredAt {
  atMs: number;
  desired: number;
}

/** The hold window is remembered in this many slots, so that a need is held for at most 1/64 too long. */
const HOLD_SLOTS = 64;
/** Reached only when the hold time is changed again and again. */
export const MAX_RECENT_DESIRED = 200;

/**
 * The largest number of the last holdS, this one included, as a monotone queue: a number that a later one reaches will
 * never be the largest again. The first entry is the answer.
 *
 *   atMs     ───────▶
 *   desired  9  7  4      (5 arrives: 4 goes; the 9 has left the window: 7 5)
 */
export function rememberDesired(
  now: DesiredAt,
  holdS: number,
  recent: readonly DesiredAt[],
): { largest: number; recent: DesiredAt[] } {
  const kept = recent.filter(({ atMs, desired }) => atMs > now.atMs - holdS * 1000 && desired > now.desired);
  const last = kept.at(-1);
  if (last !== undefined && slotOf(last.atMs, holdS) === slotOf(now.atMs, holdS)) {
    kept[kept.length - 1] = { atMs: now.atMs, desired: last.desired };
  } else kept.push(now);
  while (kept.length > MAX_RECENT_DESIRED) mergeOldest(kept);
  return { largest: (kept[0] as DesiredAt).desired, recent: kept };
}

function slotOf(atMs: number, holdS: number): number {
  return Math.floor((atMs * HOLD_SLOTS) / (holdS * 1000));
}

function mergeOldest(kept: DesiredAt[]): void {
  const [oldest, next] = kept as [DesiredAt, DesiredAt];
  kept.splice(0, 2, { atMs: next.atMs, desired: oldest.desired });
}
