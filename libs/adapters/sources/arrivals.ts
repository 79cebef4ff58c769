import type { Random } from '#domain/simulation';
import type { Trace } from './trace.js';

/** A time with one arrival rate. Steps follow each other without gaps. */
export interface RateStep {
  durationMs: number;
  ratePerS: number;
}

/**
 * A trace as rates to replay: `speed` times faster, scaled so that its largest bucket arrives at `peakRps`. A missing
 * bucket sends nothing; how many there are is returned beside.
 */
export function ratesOfTrace(
  trace: Trace,
  scale: { speed: number; peakRps: number },
): { steps: RateStep[]; missing: number } {
  const peak = trace.values.reduce<number>((max, value) => Math.max(max, value ?? 0), 0);
  const durationMs = trace.stepMs / scale.speed;
  const steps = trace.values.map((value) => ({
    durationMs,
    ratePerS: ((value ?? 0) / peak) * scale.peakRps,
  }));
  return { steps, missing: trace.values.filter((value) => value === null).length };
}

/**
 * Arrival times of an inhomogeneous Poisson process with a rate that is constant within steps, ms from the start,
 * rising. By the time change of Çinlar (1975): unit-rate exponential gaps are spent along the cumulative rate, so no
 * candidate is thrown away and a step change needs no special case.
 */
export function* arrivalsOf(steps: Iterable<RateStep>, random: Random): Generator<number, void, undefined> {
  let stepStartMs = 0;
  let gap = exponential(random);
  for (const { durationMs, ratePerS } of steps) {
    const ratePerMs = ratePerS / 1000;
    let usedMs = 0;
    while (gap < ratePerMs * (durationMs - usedMs)) {
      usedMs += gap / ratePerMs;
      yield stepStartMs + usedMs;
      gap = exponential(random);
    }
    gap -= ratePerMs * (durationMs - usedMs);
    stepStartMs += durationMs;
  }
}

function exponential(random: Random): number {
  return -Math.log(1 - random());
}
