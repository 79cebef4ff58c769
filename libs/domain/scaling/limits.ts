import type { AppliedLimit, DecisionInput, DecisionMemory, Limit } from './decision.js';
import type { Policy } from './policy.js';
import type { Proposal } from './proposal.js';
import { changeAllowance, rememberChange } from './rate-limit.js';
import { rememberDesired } from './scale-in-hold.js';
import { isFleet } from './sight.js';

/** Default hold: this share of a season, i.e. 10 minutes of a day. */
const HOLD_SEASON_RATIO = 1 / 144;
/**
 * And never shorter than this many lead times: a worker that is let go and wanted again comes back a lead time later, so
 * that a level which trembles from bucket to bucket must not release it. Simulated on 18 days with a lead of 5 s, two
 * lead times instead of a third of one halve the violations beyond the full fleet's for 4 % more worker time
 * (docs/benchmarks/loop.md).
 */
const HOLD_LEAD_TIMES = 2;

/** What the limits remember. */
export type Past = Pick<DecisionMemory, 'recentDesired' | 'recentChanges'>;

/** Default: a share of the season, so that a compressed day is held for a compressed time, and some lead times. */
export function holdSecondsOf(
  { scaleIn }: Policy,
  { seasonS, leadTimeS }: { seasonS: number; leadTimeS: number },
): number {
  return scaleIn.holdS ?? Math.max(seasonS * HOLD_SEASON_RATIO, leadTimeS * HOLD_LEAD_TIMES);
}

/** Bounds, those of the fleet last, hold, bounds of the held number, rates: in this order, each recorded when it changed the number. */
export function limit(
  { nowMs, previousDesired, proposal }: { nowMs: number; previousDesired: number; proposal: Proposal },
  { policy, seasonS, fleet }: DecisionInput,
  past: Past,
): Past & { desired: number; limits: AppliedLimit[] } {
  const { minWorkers, maxWorkers } = policy.bounds;
  const limits: AppliedLimit[] = [];
  let desired = proposal.workers;
  const move = (limit: Limit, to: number) => {
    if (to !== desired) limits.push({ limit, from: desired, to });
    desired = to;
  };
  move('min-workers', Math.max(desired, minWorkers));
  move('max-workers', Math.min(desired, maxWorkers));
  const { leadTimeS, maxWorkers: fleetMaxWorkers = Infinity } =
    fleet !== undefined && isFleet(fleet) ? fleet : { leadTimeS: 0 };
  move('fleet-max-workers', Math.min(desired, fleetMaxWorkers));
  const holdS = holdSecondsOf(policy, { seasonS, leadTimeS });
  const hold = rememberDesired({ atMs: nowMs, desired }, holdS, past.recentDesired);
  if (proposal.blind === undefined)
    move('scale-in-hold', Math.min(hold.largest, maxWorkers, fleetMaxWorkers));
  const perMinute = {
    perMinuteOut: policy.scaleOut.maxWorkersPerMinute,
    perMinuteIn: policy.scaleIn.maxWorkersPerMinute,
  };
  const allowed = changeAllowance(perMinute, nowMs, past.recentChanges);
  move('scale-out-rate', Math.min(desired, previousDesired + allowed.out));
  move('scale-in-rate', Math.max(desired, previousDesired - allowed.in));
  const change = { atMs: nowMs, delta: desired - previousDesired };
  const recentChanges = rememberChange(change, past.recentChanges);
  return { desired, limits, recentDesired: hold.recent, recentChanges };
}
