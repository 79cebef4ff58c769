/** What a partition holds: times in [fromMs, toMs). */
export interface TimeRange {
  fromMs: number;
  toMs: number;
}

const HOUR_MS = 3_600_000;

/**
 * Lengths of partitions: 1 h, 6 h, 1 d, 7 d, 28 d, 364 d. Each divides the next and all are counted from the epoch, so
 * that a long one never begins or ends inside a short one.
 */
export const LENGTHS_MS = [1, 6, 24, 7 * 24, 28 * 24, 364 * 24].map((hours) => hours * HOUR_MS);
/** What is kept is cut into at least this many partitions: dropping one gives back at most a quarter too late. */
const MIN_KEPT_PARTITIONS = 4;

/**
 * The partition to be made for a time that none holds. It is as long as what is kept allows; for what is older than that
 * (history that is filled in later) as long as its age allows, so that decades need some two hundred partitions at most.
 */
export function partitionFor(
  atMs: number,
  given: { keptMs: number; nowMs: number; taken: readonly TimeRange[] },
): TimeRange {
  const { keptMs, nowMs, taken } = given;
  const lengthMs = lengthFor(Math.max(keptMs, nowMs - atMs));
  const fromMs = Math.floor(atMs / lengthMs) * lengthMs;
  const before = taken.filter((range) => range.toMs <= atMs).map(({ toMs }) => toMs);
  const after = taken.filter((range) => range.fromMs > atMs).map(({ fromMs }) => fromMs);
  return { fromMs: Math.max(fromMs, ...before), toMs: Math.min(fromMs + lengthMs, ...after) };
}

function lengthFor(spanMs: number): number {
  return (
    LENGTHS_MS.findLast((lengthMs) => lengthMs <= spanMs / MIN_KEPT_PARTITIONS) ?? (LENGTHS_MS[0] as number)
  );
}

export function holds({ fromMs, toMs }: TimeRange, atMs: number): boolean {
  return fromMs <= atMs && atMs < toMs;
}
