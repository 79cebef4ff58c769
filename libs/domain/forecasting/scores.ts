import { quantileAt, type Quantiles } from './distribution.js';

/** Q of the weighted quantile loss (docs/ARCHITECTURE.md, "How it is measured"). */
export const SCORED_LEVELS = [0.1, 0.5, 0.9, 0.95, 0.99] as const;

/** Pinball loss of one quantile: ≥ 0, in arrivals; its mean is least at the true quantile. */
export function pinballLoss({ level, value }: { level: number; value: number }, actual: number): number {
  return actual >= value ? level * (actual - value) : (1 - level) * (value - actual);
}

/** A forecast of one bucket and what arrived; null: missing. */
export interface Scored {
  quantiles: Quantiles;
  actual: number | null;
}

/**
 * WQL = Σ_q Σ_t 2·pinball ÷ (|Q|·Σ|y|), missing targets left out: 0 is perfect, less is better. NaN when nothing
 * arrived in any of the buckets.
 */
export function weightedQuantileLoss(
  scored: readonly Scored[],
  levels: readonly number[] = SCORED_LEVELS,
): number {
  let [loss, arrivals] = [0, 0];
  for (const { quantiles, actual } of scored) {
    if (actual === null) continue;
    arrivals += Math.abs(actual);
    for (const level of levels)
      loss += 2 * pinballLoss({ level, value: quantileAt(quantiles, level) }, actual);
  }
  return loss / (levels.length * arrivals);
}
