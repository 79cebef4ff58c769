import type { Decision, DecisionInput, DecisionInputs } from './decision.js';
import type { Proposal } from './proposal.js';
import { sketchMean } from '#domain/demand';

/** The numbers a decision had before it, for its record. What is no number was not known. */
export function inputsOf(
  { policy, demand, forecast, fleet }: DecisionInput,
  { waiting }: Pick<Proposal, 'waiting'>,
): DecisionInputs {
  return known({
    demandAsOfMs: demand?.asOfMs,
    arrivalRatePerS: demand?.arrivalRatePerS,
    attemptsPerArrival: demand?.attemptsPerArrival,
    backlog: demand?.backlog,
    waiting,
    serviceMsMean: demand && sketchMean(demand.serviceMs),
    reactionMarginRatio: policy.reactionMarginRatio,
    forecastOriginMs: forecast?.originMs,
    forecastLeadS: forecast && (forecast.horizons.at(-1)?.horizonS ?? 0) - forecast.bucketS,
    readyWorkers: fleet?.ready,
    slotsPerWorker: fleet?.slotsPerWorker,
    leadTimeS: fleet?.leadTimeS,
  });
}

/** Workers take longer to start than a forecast that set a price looks ahead: what comes in between is not seen. */
export function forecastEndsEarly({
  pricedLevel,
  inputs,
}: Pick<Decision, 'pricedLevel' | 'inputs'>): boolean {
  const { leadTimeS = 0, forecastLeadS = Infinity } = inputs;
  return pricedLevel !== undefined && leadTimeS > forecastLeadS;
}

function known(inputs: Record<keyof DecisionInputs, number | undefined>): DecisionInputs {
  return Object.fromEntries(Object.entries(inputs).filter(([, value]) => Number.isFinite(value)));
}
