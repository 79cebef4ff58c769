import type { RateStep } from './arrivals.js';
import { syntheticRates, type SyntheticSource } from './synthetic.js';

/** What to send, small enough to hand to a thread: the thread draws the arrival times itself. */
export type PacedLoad = { kind: 'steps'; steps: RateStep[] } | { kind: 'synthetic'; source: SyntheticSource };

export function stepsOf(load: PacedLoad): Iterable<RateStep> {
  return load.kind === 'steps' ? load.steps : syntheticRates(load.source);
}
