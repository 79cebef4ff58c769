import type { Policy } from './policy.js';
import type { ChangeAt } from './rate-limit.js';
import type { DesiredAt } from './scale-in-hold.js';
import type { DemandView } from '#domain/demand';
import type { Forecast } from '#domain/forecasting';

export interface FleetView {
  /** Workers the router may choose now. */
  ready: number;
  /** Ordered and not ready. */
  starting: number;
  draining: number;
  /** What the fleet was last asked for. */
  desired: number;
  /** The most workers the fleet runs; undefined: it is not known to have an end. */
  maxWorkers?: number;
  slotsPerWorker: number;
  /** A high quantile of measured starts, seconds: from the order to the moment a worker may be chosen. */
  leadTimeS: number;
  /** Its workers run elsewhere: this is what they are taken to be, and nobody is asked for them. */
  assumed?: true;
}

export interface DecisionInput {
  nowMs: number;
  pool: string;
  bucketS: number;
  seasonS: number;
  policy: Policy;
  policyVersion: number;
  /** undefined = missing or unreadable: the decision will be `blind`. */
  demand: DemandView | undefined;
  forecast: Forecast | undefined;
  fleet: FleetView | undefined;
}

/** Everything a decision remembers; bounded, JSON, stored with each decision so that it can be replayed. */
export interface DecisionMemory {
  v: 1;
  /** Workers that were needed in the hold window, before holds and rates (scale-in-hold.ts). */
  recentDesired: DesiredAt[];
  /** Workers added and removed in the trailing minute (rate-limit.ts). */
  recentChanges: ChangeAt[];
  /** `desired` of the last decision. */
  lastDesired: number;
  lastNowMs: number;
}

/** What may change the number that demand and forecast ask for, in the order applied. */
export const LIMITS = [
  'min-workers',
  'max-workers',
  /** The fleet runs no more. */
  'fleet-max-workers',
  'scale-in-hold',
  'scale-out-rate',
  'scale-in-rate',
] as const;
export type Limit = (typeof LIMITS)[number];

/** Why a decision could not see what it needs. It then keeps the number, or raises it by what it can measure. */
export const BLIND_REASONS = [
  'demand-missing',
  'demand-stale',
  'demand-invalid',
  'fleet-missing',
  'fleet-invalid',
  /** Nothing has been served yet: one worker is asked for when requests wait, so that something will be. */
  'service-time-unknown',
  /** Of the forecast: measured load may still raise the number, nothing lowers it. */
  'forecast-missing',
  'forecast-stale',
  'forecast-invalid',
] as const;
export type BlindReason = (typeof BLIND_REASONS)[number];

/**
 * What set the number; a counter label. `reaction`: measured load; `forecast`: the priced level; `idle`: nothing waits or
 * arrives, and nothing has been served yet from which it could be sized; else a limit, or what was not seen.
 */
export const REASONS = ['reaction', 'forecast', 'idle', ...LIMITS, ...BLIND_REASONS] as const;
export type Reason = (typeof REASONS)[number];

/** A limit that changed the number. In the order applied. */
export interface AppliedLimit {
  limit: Limit;
  from: number;
  to: number;
}

/** What a decision saw, by value; what is missing was not known. */
export interface DecisionInputs {
  /** End of the newest bucket counted, epoch ms. */
  demandAsOfMs?: number;
  arrivalRatePerS?: number;
  attemptsPerArrival?: number;
  /** Attempts whose start was not told. */
  backlog?: number;
  /** Of these, what is not being served already (waiting.ts). */
  waiting?: number;
  serviceMsMean?: number;
  /** Of the policy. */
  reactionMarginRatio?: number;
  forecastOriginMs?: number;
  /** Longest lead time that the forecast covers, seconds. */
  forecastLeadS?: number;
  readyWorkers?: number;
  slotsPerWorker?: number;
  leadTimeS?: number;
}

/** The name of a decision in logs and API. A record of equal holds has that of the first. */
export function decisionIdOf({ pool, atMs }: { pool: string; atMs: number }): string {
  return `${pool}/${atMs}`;
}

/** `scale`: the number changes. `hold`: it stays. `blind`: it stays, for want of sight. */
export type DecisionKind = 'scale' | 'hold' | 'blind';

export interface Decision {
  kind: DecisionKind;
  pool: string;
  atMs: number;
  /** Workers the fleet shall have; equals the previous desired for `hold` and `blind`. */
  desired: number;
  previousDesired: number;
  reason: Reason;
  /** The reason as a sentence with its numbers. */
  explanation: string;
  inputs: DecisionInputs;
  /** Workers by the reaction floor and by the priced level, before limits; undefined when not computed. */
  neededNow: number | undefined;
  pricedLevel: number | undefined;
  /** The horizon that set the priced level, seconds. */
  pricedHorizonS: number | undefined;
  /** false: service time alone breaks the objective, as enough of it has shown: no number of workers holds it. */
  objectiveReachable: boolean;
  limits: AppliedLimit[];
}
