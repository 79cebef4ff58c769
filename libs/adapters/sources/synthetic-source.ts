import { startPacedRequests, type PacedProgress, type PacedRequests } from './paced-requests.js';
import type { SyntheticSource } from './synthetic.js';

/**
 * Sends a pool's synthetic load to the router from a thread of its own, until stopped or the process ends. Never gives
 * up on a router that is not there yet: those requests are counted as failed.
 */
export function startSyntheticSource(given: {
  source: SyntheticSource;
  /** Where a request of the pool goes. */
  url: string;
  headers?: Record<string, string>;
  objectiveMs: number;
  onProgress?: (progress: PacedProgress) => void;
}): PacedRequests {
  const { source, ...rest } = given;
  return startPacedRequests({
    ...rest,
    load: { kind: 'synthetic', source },
    seed: source.seed,
    deadlineMs: source.deadlineMs,
  });
}
