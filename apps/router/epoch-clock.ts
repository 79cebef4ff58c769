/** The system's clock was set, or the machine slept: no quartz drifts this far between two requests. */
const MAX_DRIFT_MS = 1000;

/**
 * Epoch ms with fraction. Steady between two readings, unlike Date.now(), which is exact to 1 ms only and follows
 * every small correction; follows Date.now() when the two are more than a second apart.
 */
export function epochClock(
  wallMs: () => number = Date.now,
  steadyMs: () => number = () => performance.now(),
): () => number {
  let originMs = wallMs() - steadyMs();
  return () => {
    const nowMs = originMs + steadyMs();
    const driftMs = wallMs() - nowMs;
    if (Math.abs(driftMs) <= MAX_DRIFT_MS) return nowMs;
    originMs += driftMs;
    return nowMs + driftMs;
  };
}
