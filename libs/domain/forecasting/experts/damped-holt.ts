import type { Expert } from './outlook.js';

// Gardner & McKenzie, Forecasting trends in time series, Management Science 31 (1985). The constants were measured best
// on minutes of web traffic.
const LEVEL_GAIN = 0.3;
const TREND_GAIN = 0.03;
const DAMPING = 0.95;

/** Level and trend per bucket of √arrivals; NaN before the first bucket. */
export interface HoltMemory {
  level: number;
  trend: number;
}

export function newHolt(): HoltMemory {
  return { level: NaN, trend: 0 };
}

/** Takes a bucket, in place. A missing one (NaN) moves the level along its trend. */
export function updateHolt(holt: HoltMemory, root: number): void {
  const expected = holt.level + DAMPING * holt.trend;
  const before = holt.level;
  if (Number.isNaN(before)) {
    holt.level = root;
  } else if (Number.isNaN(root)) {
    holt.level = Math.max(0, expected);
    holt.trend *= DAMPING;
  } else {
    holt.level = expected + LEVEL_GAIN * (root - expected);
    holt.trend = DAMPING * holt.trend * (1 - TREND_GAIN) + TREND_GAIN * (holt.level - before);
  }
}

/** Exponential smoothing with a trend that fades: follows growth without believing in it for ever. */
export const dampedHolt: Expert = {
  name: 'holt',
  reactive: false,
  point: ({ holt, steps }) => Math.max(0, holt.level + holt.trend * dampedSteps(steps)),
};

/** φ + φ² + … + φ^steps. */
function dampedSteps(steps: number): number {
  return (DAMPING * (1 - DAMPING ** steps)) / (1 - DAMPING);
}
