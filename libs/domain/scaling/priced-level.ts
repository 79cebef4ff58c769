import type { BlindReason } from './decision.js';
import { staleAfterS } from './staleness.js';
import { probabilityAtMost, type Forecast, type Quantiles } from '#domain/forecasting';
import { MAX_SIZED_WORKERS } from '#domain/queueing';

/** Large fleets are searched in steps of 1/128: the cost is flat around its minimum. */
const FINEST_STEP_SHIFT = 7;

export interface Pricing {
  nowMs: number;
  leadTimeS: number;
  minWorkers: number;
  /** What one bucket in violation costs, in workers paid for one bucket. */
  price: number;
  /** ≥ 1: what a forecast arrival means in work. */
  attemptsPerArrival: number;
  /** The largest rate per second that so many workers carry; non-decreasing. */
  capacityPerS(workers: number): number;
  /** Fewer workers cannot carry this rate, however lightly it is taken. */
  leastWorkers(ratePerS: number): number;
}

export type PricedLevel =
  | { ok: true; workers: number; horizonS: number }
  | { ok: false; reason: Extract<BlindReason, `forecast-${string}`> };

/**
 * The workers that the forecast is worth: for each bucket from now to the first one that workers ordered now serve
 * entirely, the n that minimises n + price × P(n does not suffice); the largest of them.
 *
 * Buying safety where it is cheap beats a fixed quantile by 20 % of the cost at 1 % violations. Its price: demand that
 * is dear and unlikely enough is left to the reaction floor, so that a *wider* forecast may ask for fewer workers.
 */
export function pricedLevel(forecast: Forecast | undefined, pricing: Pricing): PricedLevel {
  if (forecast === undefined) return { ok: false, reason: 'forecast-missing' };
  const horizons = horizonsInReach(forecast, pricing);
  if (horizons.length === 0) return { ok: false, reason: 'forecast-stale' };
  const usable = horizons.filter(isDistribution);
  if (usable.length === 0) return { ok: false, reason: 'forecast-invalid' };
  let highest = { workers: -1, horizonS: 0 };
  for (const horizon of usable) {
    const workers = cheapest(horizon, forecast.bucketS, pricing);
    if (workers > highest.workers) highest = { workers, horizonS: horizon.horizonS };
  }
  return { ok: true, ...highest };
}

/**
 * Horizons 1 … ceil(lead/bucket) + 1 of a forecast made when the last bucket closed; of one that is a bucket late, the
 * horizons after those. None: the forecast is stale.
 */
function horizonsInReach(
  { originMs, bucketS, horizons }: Forecast,
  { nowMs, leadTimeS }: Pricing,
): Horizon[] {
  const ageS = (nowMs - originMs) / 1000 - bucketS;
  if (!(ageS <= staleAfterS(bucketS))) return [];
  const reachS = Math.ceil(leadTimeS / bucketS - 1e-9) * bucketS;
  return horizons.filter(({ horizonS }) => {
    const startsInS = originMs / 1000 + horizonS - nowMs / 1000;
    return startsInS > -bucketS && startsInS <= reachS;
  });
}
type Horizon = Forecast['horizons'][number];

function isDistribution({ levels, values }: Horizon): boolean {
  if (levels.length === 0 || levels.length !== values.length) return false;
  const rises = (numbers: number[]) =>
    numbers.every((number, i) => number >= (i === 0 ? 0 : (numbers[i - 1] as number)));
  return rises(levels) && rises(values) && Number.isFinite(values.at(-1));
}

function cheapest(arrivals: Quantiles, bucketS: number, pricing: Pricing): number {
  const { minWorkers, price, attemptsPerArrival, capacityPerS, leastWorkers } = pricing;
  const costOf = (workers: number) => {
    const carried = (capacityPerS(workers) * bucketS) / attemptsPerArrival;
    return workers + price * (1 - probabilityAtMost(arrivals, carried));
  };
  let best = minWorkers;
  let bestCost = costOf(best);
  // Between the minimum and the lowest forecast level there is next to nothing to gain.
  const lowest = leastWorkers(((arrivals.values[0] as number) * attemptsPerArrival) / bucketS);
  // A number of workers costs at least itself: beyond the best cost none can be better.
  for (
    let workers = Math.max(minWorkers + 1, lowest);
    workers < bestCost && workers <= MAX_SIZED_WORKERS;
    workers += Math.max(1, workers >> FINEST_STEP_SHIFT)
  ) {
    const cost = costOf(workers);
    if (cost < bestCost) [best, bestCost] = [workers, cost];
  }
  return best;
}
