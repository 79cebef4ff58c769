import type { Decision, DecisionInput, DecisionMemory } from './decision.js';
import { explain } from './explain.js';
import { inputsOf } from './inputs.js';
import { limit, type Past } from './limits.js';
import { keep, propose } from './proposal.js';
import { isFleet, look } from './sight.js';

/**
 * How many workers a pool shall have: the larger of what is needed now and what the forecast is worth, within the
 * policy's limits. Pure: the same input and memory give the same decision. Without memory it starts from the fleet's
 * desired number. Never throws: what is missing, stale or no number makes the decision `blind`.
 */
export function decide(
  input: DecisionInput,
  memory: DecisionMemory | undefined,
): { decision: Decision; memory: DecisionMemory } {
  const nowMs = Number.isFinite(input.nowMs) ? input.nowMs : (memory?.lastNowMs ?? 0);
  const clockBackMs = Math.max(0, (memory?.lastNowMs ?? nowMs) - nowMs);
  const past = moveBack(clockBackMs, memory);
  const previousDesired = previousDesiredOf(input, memory);
  const sight = look({ ...input, nowMs });
  const proposal = sight.ok
    ? propose({ ...input, nowMs }, sight, previousDesired)
    : keep(sight, previousDesired);
  const limited = limit({ nowMs, previousDesired, proposal }, input, past);
  const { desired, limits } = limited;
  const inputs = inputsOf(input, proposal);
  const decision: Decision = {
    kind: desired !== previousDesired ? 'scale' : proposal.blind === undefined ? 'hold' : 'blind',
    pool: input.pool,
    atMs: nowMs,
    desired,
    previousDesired,
    reason: proposal.blind ?? limits.at(-1)?.limit ?? proposal.reason,
    explanation: explain({ input, inputs, sight, proposal, previousDesired, desired, limits, clockBackMs }),
    inputs,
    neededNow: proposal.neededNow,
    pricedLevel: proposal.pricedLevel,
    pricedHorizonS: proposal.pricedHorizonS,
    objectiveReachable: proposal.shareOverObjective === undefined,
    limits,
  };
  const { recentDesired, recentChanges } = limited;
  return { decision, memory: { v: 1, recentDesired, recentChanges, lastDesired: desired, lastNowMs: nowMs } };
}

/**
 * The number this decision changes. What the fleet was asked for is the truth, whoever asked; in observe mode nobody
 * asks, so the last decision stands for it.
 */
function previousDesiredOf({ fleet, policy }: DecisionInput, memory: DecisionMemory | undefined): number {
  const asked = fleet !== undefined && isFleet(fleet) ? fleet.desired : undefined;
  const decided = memory?.lastDesired;
  const known = policy.mode === 'observe' ? (decided ?? asked) : (asked ?? decided);
  return known ?? policy.bounds.minWorkers;
}

/** A clock that went back takes the memory with it: holds and rates last as long as they would have. */
function moveBack(byMs: number, memory: DecisionMemory | undefined): Past {
  const { recentDesired = [], recentChanges = [] } = memory ?? {};
  return {
    recentDesired: recentDesired.map(({ atMs, desired }) => ({ atMs: atMs - byMs, desired })),
    recentChanges: recentChanges.map(({ atMs, delta }) => ({ atMs: atMs - byMs, delta })),
  };
}
