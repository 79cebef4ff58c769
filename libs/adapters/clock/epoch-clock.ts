/** The system clock has whole milliseconds, so a difference below this says nothing. */
const RESOLUTION_MS = 2;

/**
 * Epoch ms with fraction. Date.now() has no fraction, and performance.timeOrigin never learns that the system clock was
 * set, which would put this worker's times beside the router's: so the one is used, and corrected by the other.
 */
export function createEpochClock(
  wallMs: () => number = Date.now,
  monotonicMs: () => number = () => performance.now(),
  originMs: number = performance.timeOrigin,
): () => number {
  let offsetMs = originMs;
  return () => {
    const wall = wallMs();
    const now = offsetMs + monotonicMs();
    if (Math.abs(now - wall) <= RESOLUTION_MS) return now;
    offsetMs = wall - monotonicMs();
    return wall;
  };
}
