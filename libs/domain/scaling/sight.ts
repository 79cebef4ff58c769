import type { BlindReason, DecisionInput, FleetView } from './decision.js';
import { staleAfterS } from './staleness.js';
import type { DemandView } from '#domain/demand';
import { serviceModel, type ServiceModel } from '#domain/queueing';

/** What a decision can see; its numbers are checked. */
export type Sight = Sighted | Blind;
export interface Sighted {
  ok: true;
  demand: DemandView;
  fleet: FleetView;
  model: ServiceModel;
}
export interface Blind {
  ok: false;
  reason: BlindReason;
  /** Requests wait or arrive. */
  waiting: boolean;
}

/** Checks what was measured. Anything missing, old or no number makes the decision blind: never a guess. */
export function look({ nowMs, bucketS, demand, fleet, policy }: DecisionInput): Sight {
  const blind = (reason: BlindReason, waiting = false): Sight => ({ ok: false, reason, waiting });
  if (demand === undefined) return blind('demand-missing');
  if (!isDemand(demand)) return blind('demand-invalid');
  const ageS = (nowMs - demand.asOfMs) / 1000;
  if (!(ageS <= staleAfterS(bucketS))) return blind('demand-stale');
  if (fleet === undefined) return blind('fleet-missing');
  if (!isFleet(fleet)) return blind('fleet-invalid');
  const model = serviceModel(demand.serviceMs, policy.objective);
  if (model === undefined) {
    return blind('service-time-unknown', demand.backlog > 0 || demand.arrivalRatePerS > 0);
  }
  return { ok: true, demand: completed(demand), fleet, model };
}

export function isFleet({ desired, slotsPerWorker, leadTimeS, maxWorkers = 0 }: FleetView): boolean {
  const counts = [desired, slotsPerWorker, maxWorkers].every(isCount);
  return counts && slotsPerWorker >= 1 && isAmount(leadTimeS);
}

function isDemand({ arrivalRatePerS, backlog, asOfMs }: DemandView): boolean {
  return isAmount(arrivalRatePerS) && isAmount(backlog) && Number.isFinite(asOfMs);
}

/** What only refines the numbers falls back to what is known without it. */
function completed(demand: DemandView): DemandView {
  const { attemptsPerArrival, trailingRatePerS, arrivalRatePerS } = demand;
  return {
    ...demand,
    attemptsPerArrival: isAmount(attemptsPerArrival) ? Math.max(1, attemptsPerArrival) : 1,
    trailingRatePerS: isAmount(trailingRatePerS) ? trailingRatePerS : arrivalRatePerS,
  };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isAmount(value: number): boolean {
  return value >= 0 && value < Infinity;
}
