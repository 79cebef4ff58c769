import type { AppliedLimit, BlindReason, DecisionInput, DecisionInputs } from './decision.js';
import { forecastEndsEarly } from './inputs.js';
import type { Proposal } from './proposal.js';
import type { Sight } from './sight.js';

const BLINDNESS: Record<BlindReason, string> = {
  'demand-missing': 'no demand is known',
  'demand-stale': 'the newest demand is too old',
  'demand-invalid': 'the demand is not a number',
  'fleet-missing': 'the fleet does not answer',
  'fleet-invalid': 'the fleet reports what cannot be',
  'service-time-unknown': 'nothing has been served yet, so the service time is unknown',
  'forecast-missing': 'there is no forecast',
  'forecast-stale': 'the forecast is too old',
  'forecast-invalid': 'the forecast is not a distribution',
};

/** One plain sentence: what was decided, from which numbers, changed by which limits. */
export function explain(made: {
  input: DecisionInput;
  inputs: DecisionInputs;
  sight: Sight;
  proposal: Proposal;
  previousDesired: number;
  desired: number;
  limits: AppliedLimit[];
  clockBackMs: number;
}): string {
  const { inputs, proposal, previousDesired, desired, limits, clockBackMs } = made;
  const what = desired === previousDesired ? `stays at ${desired}` : `${previousDesired} → ${desired}`;
  const parts = [`${what} workers: ${cause(made)}`];
  for (const { limit, from, to } of limits) parts.push(`${limit} ${from} → ${to}`);
  if (proposal.shareOverObjective !== undefined) parts.push(unreachable(made, proposal.shareOverObjective));
  if (forecastEndsEarly({ pricedLevel: proposal.pricedLevel, inputs })) parts.push(early(inputs));
  if (clockBackMs > 0) parts.push(`the clock went back by ${clockBackMs / 1000} s`);
  if (made.input.policy.mode === 'observe') parts.push('only observed');
  if (made.input.fleet?.assumed === true) parts.push('its workers run elsewhere');
  return parts.join('; ');
}

function cause({
  input,
  sight,
  proposal,
}: {
  input: DecisionInput;
  sight: Sight;
  proposal: Proposal;
}): string {
  const { blind, waiting = 0, neededNow, pricedLevel, pricedHorizonS } = proposal;
  if (proposal.reason === 'idle') return 'nothing has arrived yet, kept';
  if (!sight.ok) return `${BLINDNESS[sight.reason]}, kept`;
  const { demand } = sight;
  const margin = (input.policy.reactionMarginRatio * demand.attemptsPerArrival).toFixed(2);
  const rate = `${round(demand.arrivalRatePerS)}/s × ${margin}`;
  const queue = waiting >= 0.5 ? ` and ${Math.round(waiting)} waiting` : '';
  const measured = `${rate}${queue} need ${neededNow}`;
  if (blind !== undefined) return `${BLINDNESS[blind]}, not lowered; ${measured}`;
  if (pricedLevel === undefined) return measured;
  return `${measured}, the forecast ${pricedHorizonS} s ahead is worth ${pricedLevel}`;
}

function unreachable({ input }: { input: DecisionInput }, share: number): string {
  const { responseMs, quantile } = input.policy.objective;
  const [slow, allowed] = [percent(share), percent(1 - quantile)];
  return `no number of workers answers within ${responseMs} ms: service alone is slower for ${slow} (${allowed} allowed)`;
}

function early({ leadTimeS, forecastLeadS }: DecisionInputs): string {
  return `the forecast covers a lead time of ${forecastLeadS} s (leadTimeMaxS), and workers take ${round(leadTimeS as number)} s`;
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
