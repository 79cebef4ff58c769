import type { BlindReason, DecisionInput, Reason } from './decision.js';
import { pricedLevel } from './priced-level.js';
import type { Blind, Sighted } from './sight.js';
import { waitingOf } from './waiting.js';
import { capacityCurve, loadOf, workersFor, type ServiceModel } from '#domain/queueing';

/** What demand and forecast ask for, before limits. */
export interface Proposal {
  workers: number;
  reason: Reason;
  /** Set when something was not seen: then no limit but the bounds, and no hold, moves the number. */
  blind: BlindReason | undefined;
  /** Attempts of the backlog that are not being served; undefined when not computed. */
  waiting: number | undefined;
  neededNow: number | undefined;
  pricedLevel: number | undefined;
  pricedHorizonS: number | undefined;
  /** Share of requests slower than the objective by service time alone, when that breaks it. */
  shareOverObjective: number | undefined;
}

/** Blind for what was measured: the number is kept. A pool that was never used has nothing to be seen, and is idle. */
export function keep({ reason, waiting }: Blind, previousDesired: number): Proposal {
  // Without a worker nothing would ever complete and tell the service time.
  const workers = waiting ? Math.max(1, previousDesired) : previousDesired;
  if (reason === 'service-time-unknown' && !waiting)
    return { workers, reason: 'idle', blind: undefined, ...NOTHING_COMPUTED };
  return { workers, reason, blind: reason, ...NOTHING_COMPUTED };
}
const NOTHING_COMPUTED = {
  waiting: undefined,
  neededNow: undefined,
  pricedLevel: undefined,
  pricedHorizonS: undefined,
  shareOverObjective: undefined,
};

/** Sizes what was measured and what is forecast, through one model of the queue. */
export function propose(input: DecisionInput, sight: Sighted, previousDesired: number): Proposal {
  const { demand, fleet, model } = sight;
  const { policy } = input;
  const { slotsPerWorker } = fleet;
  // Each arrival takes a slot as often as it is tried; so does each that is forecast.
  const { attemptsPerArrival } = demand;
  const waiting = waitingOf(sight, policy);
  const ratePerS =
    demand.arrivalRatePerS * policy.reactionMarginRatio * attemptsPerArrival + waiting / policy.drainS;
  const sizing = workersFor({ ratePerS, slotsPerWorker }, model);
  const neededNow = sizing.workers;
  const shareOverObjective = sizing.ok ? undefined : sizing.shareOverObjective;
  const computed = { ...NOTHING_COMPUTED, waiting, neededNow, shareOverObjective };
  if (policy.mode === 'reactive') {
    return { workers: neededNow, reason: 'reaction', blind: undefined, ...computed };
  }
  const priced = pricedLevel(input.forecast, {
    nowMs: input.nowMs,
    leadTimeS: fleet.leadTimeS,
    minWorkers: policy.bounds.minWorkers,
    price:
      policy.violationPrice *
      (loadOf(demand.trailingRatePerS * attemptsPerArrival, model) / slotsPerWorker + 2),
    attemptsPerArrival,
    ...capacityFunctions(slotsPerWorker, model),
  });
  if (!priced.ok) {
    const workers = Math.max(neededNow, previousDesired);
    return { ...computed, workers, reason: 'reaction', blind: priced.reason };
  }
  return {
    ...computed,
    workers: Math.max(neededNow, priced.workers),
    reason: priced.workers > neededNow ? 'forecast' : 'reaction',
    blind: undefined,
    pricedLevel: priced.workers,
    pricedHorizonS: priced.horizonS,
  };
}

function capacityFunctions(slotsPerWorker: number, model: ServiceModel) {
  return {
    capacityPerS: capacityCurve({ slotsPerWorker }, model),
    leastWorkers: (ratePerS: number) => Math.floor(loadOf(ratePerS, model) / slotsPerWorker),
  };
}
