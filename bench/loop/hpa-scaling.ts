import type { Fleet } from '#adapters/fleet';
import type { DecisionInput } from '#domain/scaling';
import { hpaStep, type HpaMemory, type HpaSettings } from '#domain/simulation';
import { POOL } from './setting.js';

/**
 * Scales the fleet by the HPA rule instead of Headroom's decision, which is only observed: at the same tick, from the
 * same view of demand.
 */
export function hpaScaling(fleet: Fleet, settings: HpaSettings, onError: (error: Error) => void) {
  let memory: HpaMemory | undefined;
  return ({ nowMs, demand, fleet: workers }: DecisionInput): number | undefined => {
    if (workers === undefined) return undefined;
    const input = { nowS: nowMs / 1000, metric: demand?.arrivalRatePerS, workers: workers.desired };
    const step = hpaStep(input, settings, memory);
    memory = step.memory;
    if (step.desired !== workers.desired) fleet.scale({ pool: POOL, desired: step.desired }).catch(onError);
    return step.desired;
  };
}
