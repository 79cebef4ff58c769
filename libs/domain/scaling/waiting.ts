import type { Policy } from './policy.js';
import type { Sighted } from './sight.js';

/**
 * Attempts of the backlog that wait: without those that are being served although nobody has told their start, as that of
 * a short execution is told with its end. By Little's law rate × mean service time are being served, no more than there
 * are slots; those whose start was told are not in the backlog.
 *
 * No service counts for longer than the time in which the backlog is to be worked off. Otherwise one more arrival would
 * explain away more of the backlog than it asks for, and more demand would need fewer workers.
 */
export function waitingOf({ demand, fleet, model }: Sighted, { drainS }: Pick<Policy, 'drainS'>): number {
  const { arrivalRatePerS, attemptsPerArrival, backlog, inFlight } = demand;
  const serviceS = Math.min(model.meanMs / 1000, drainS);
  const slots = fleet.ready * fleet.slotsPerWorker;
  const served = Math.min(arrivalRatePerS * attemptsPerArrival * serviceS, slots);
  const untold = served - inFlight;
  // Also false of what is no number: then all of the backlog counts.
  return untold > 0 ? Math.max(0, backlog - untold) : backlog;
}
