import type { Policy } from './policy.js';
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
  slotsPerWorker: number;
  /** A high quantile of measured starts, seconds: from the order to the moment a worker may be chosen. */
  leadTimeS: number;
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
  /** Largest desired of the hold window, as a monotone queue: decreasing `desired`, increasing `atMs`. */
  recentDesired: { atMs: number; desired: number }[];
  /** Workers added and removed in the trailing minute, for the rate limits. */
  recentChanges: { atMs: number; delta: number }[];
  lastNowMs: number;
}

/** A limit that changed the number: bound, rate, hold … In the order applied. */
export interface AppliedLimit {
  limit: string;
  from: number;
  to: number;
}

export type DecisionKind = 'scale' | 'hold' | 'blind';

export interface Decision {
  kind: DecisionKind;
  pool: string;
  atMs: number;
  /** Workers the fleet shall have; equals the previous desired for `hold` and `blind`. */
  desired: number;
  previousDesired: number;
  /** One stable word (a counter label), e.g. `forecast`, `reaction`, `scale-in-hold`, `stale-demand`. */
  reason: string;
  /** The reason as a sentence with its numbers. */
  explanation: string;
  /** Workers by the reaction floor and by the priced level, before limits; undefined when not computed. */
  neededNow: number | undefined;
  pricedLevel: number | undefined;
  /** The horizon that set the priced level, seconds. */
  pricedHorizonS: number | undefined;
  /** false: service time alone breaks the objective, no number of workers holds it. */
  objectiveReachable: boolean;
  limits: AppliedLimit[];
}
