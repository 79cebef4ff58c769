/** Workers added (> 0) or removed (< 0) at a time. */
export interface ChangeAt {
  atMs: number;
  delta: number;
}

/** Changes of one direction within a second are one entry: at most two entries for each second of the minute. */
const RATE_WINDOW_MS = 60_000;
const ENTRY_MS = 1000;

/** By how much the number may still rise and fall, given what changed in the trailing minute. */
export function changeAllowance(
  { perMinuteOut, perMinuteIn }: { perMinuteOut: number; perMinuteIn: number },
  nowMs: number,
  recent: readonly ChangeAt[],
): { out: number; in: number } {
  let [added, removed] = [0, 0];
  for (const { atMs, delta } of recent) {
    if (atMs <= nowMs - RATE_WINDOW_MS) continue;
    if (delta > 0) added += delta;
    else removed -= delta;
  }
  return { out: Math.max(0, perMinuteOut - added), in: Math.max(0, perMinuteIn - removed) };
}

export function rememberChange(now: ChangeAt, recent: readonly ChangeAt[]): ChangeAt[] {
  const kept = recent.filter(({ atMs }) => atMs > now.atMs - RATE_WINDOW_MS);
  if (now.delta === 0) return kept;
  const joins = ({ atMs, delta }: ChangeAt) =>
    Math.floor(atMs / ENTRY_MS) === Math.floor(now.atMs / ENTRY_MS) && delta > 0 === now.delta > 0;
  const joined = kept.filter(joins).reduce((sum, { delta }) => sum + delta, now.delta);
  return [...kept.filter((change) => !joins(change)), { atMs: now.atMs, delta: joined }];
}
