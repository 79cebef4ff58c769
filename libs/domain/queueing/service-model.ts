import { isSurelyOver } from './evidence.js';
import { RELATIVE_ERROR, type Sketch } from '#domain/demand';
import type { Objective } from '#domain/slo';

/**
 * What sizing needs to know of a service-time sketch and an objective, computed once per decision.
 *
 *   0 ms ────────────── service time ──────────────▶ objective
 *        │ share 3 │ share 2      │ share 1 │share 0│
 *   slack 4        3              2         1       0     (objective − service time: the wait that is still good)
 */
export interface ServiceModel {
  meanMs: number;
  /** Squared coefficient of variation of service times (0: all alike, 1: exponential). */
  serviceScv: number;
  /** Squared coefficient of variation of the times between arrivals; 1: Poisson. */
  arrivalScv: number;
  /** Share of requests that are slower than the objective without any wait. */
  shareOverObjective: number;
  /**
   * false: service times have proved that they alone break the objective ({@link isSurelyOver}); sizing then keeps the
   * wait small, and no more. While it seems so and may be chance, sizing is that of an objective that is just reachable.
   */
  reachable: boolean;
  /** Share of requests that may break the objective (or the wait of {@link UNREACHABLE_WAIT_RATIO}) by waiting, > 0. */
  budget: number;
  /** slackMs[i] … slackMs[i+1] holds shares[i] of the requests, spread evenly. Ascending. */
  slackMs: number[];
  shares: number[];
}

/** When no number of workers holds the objective: a wait longer than this share of the mean service time is bad. */
export const UNREACHABLE_WAIT_RATIO = 0.1;
/** Waiting has at least this share of the allowance: with less, only a fleet that never waits would do. */
const LEAST_BUDGET_RATIO = 0.01;
/** Bins are joined while they are narrower than this share of their slack: at most {@link MAX_PIECES} pieces. */
const PIECE_RATIO = 0.15;
/** 7 bins of 2 % of the objective, pieces 15 % and up to a bin wider each up to the whole of it, and two for zeros. */
export const MAX_PIECES = 26;
const GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);
/** A faster service cannot be told from none. */
const LEAST_MEAN_MS = 1e-3;

/** undefined: the sketch is empty or broken, so the service time is unknown and nothing can be sized. */
export function serviceModel(
  serviceMs: Sketch,
  objective: Pick<Objective, 'responseMs' | 'quantile'>,
  { arrivalScv = 1 }: { arrivalScv?: number } = {},
): ServiceModel | undefined {
  const moments = momentsOf(serviceMs);
  if (moments === undefined) return undefined;
  const { shareOverObjective, ...withinObjective } = slackOf(serviceMs, objective.responseMs);
  const allowed = 1 - objective.quantile;
  const reachable = !isSurelyOver({ share: shareOverObjective, samples: serviceMs.count }, allowed);
  const hasSlack = reachable && withinObjective.shares.length > 0;
  const slack = hasSlack ? withinObjective : smallWait(moments.meanMs);
  const left = Math.max(allowed - shareOverObjective, allowed * LEAST_BUDGET_RATIO);
  const budget = reachable ? left : allowed;
  return { ...moments, arrivalScv, shareOverObjective, reachable, budget, ...slack };
}

/** P(a request that has to wait breaks the objective by it): the exponential wait convolved with the service times. */
export function brokenByWait({ slackMs, shares }: ServiceModel, meanWaitMs: number): number {
  let broken = 0;
  let nearMs = slackMs[0] as number;
  let near = Math.exp(-nearMs / meanWaitMs);
  for (let i = 0; i < shares.length && near > 1e-15; i++) {
    const farMs = slackMs[i + 1] as number;
    const far = Math.exp(-farMs / meanWaitMs);
    const widthMs = farMs - nearMs;
    broken += (shares[i] as number) * (widthMs > 0 ? (meanWaitMs / widthMs) * (near - far) : near);
    [nearMs, near] = [farMs, far];
  }
  return broken;
}

function momentsOf({ count, sum, offset, bins }: Sketch): Moments | undefined {
  if (!(count > 0) || !(sum >= 0) || !Number.isFinite(sum / count)) return undefined;
  let value = (2 * GAMMA ** offset) / (GAMMA + 1);
  let [squares, seen] = [0, 0];
  for (const inBin of bins) {
    squares += inBin * value * value;
    seen += inBin * value;
    value *= GAMMA;
  }
  if (!Number.isFinite(squares)) return undefined;
  const meanMs = Math.max(LEAST_MEAN_MS, sum / count);
  // Of the bins alone, so that the 1 % error of their values does not turn into variance.
  const serviceScv = seen === 0 ? 0 : Math.max(0, (squares * count) / (seen * seen) - 1);
  return { meanMs, serviceScv };
}
type Moments = Pick<ServiceModel, 'meanMs' | 'serviceScv'>;

function slackOf(
  { count, zeros, offset, bins }: Sketch,
  objectiveMs: number,
): Slack & Pick<ServiceModel, 'shareOverObjective'> {
  let over = 0;
  const slackMs = [0];
  const shares: number[] = [];
  let joined = 0;
  let lowMs = GAMMA ** (offset + bins.length - 1);
  for (let i = bins.length - 1; i >= 0; i--) {
    const highMs = lowMs;
    lowMs /= GAMMA;
    const inBin = (bins[i] as number) / count;
    // The bin that holds the objective is divided linearly.
    const below = Math.min(1, Math.max(0, (objectiveMs - lowMs) / (highMs - lowMs)));
    over += inBin * (1 - below);
    if (below === 0) continue;
    joined += inBin * below;
    const [nearMs, farMs] = [slackMs.at(-1) as number, objectiveMs - lowMs];
    if (joined === 0 && shares.length === 0) slackMs[0] = farMs;
    else if (farMs - nearMs >= PIECE_RATIO * nearMs || i === 0) {
      slackMs.push(farMs);
      shares.push(joined);
      joined = 0;
    }
  }
  if (zeros > 0) {
    slackMs.push(objectiveMs, objectiveMs);
    shares.push(0, zeros / count);
  }
  return { slackMs, shares, shareOverObjective: over };
}
type Slack = Pick<ServiceModel, 'slackMs' | 'shares'>;

/** Every wait longer than a small part of the service counts. */
function smallWait(meanMs: number): Slack {
  const waitMs = UNREACHABLE_WAIT_RATIO * meanMs;
  return { slackMs: [waitMs, waitMs], shares: [1] };
}
