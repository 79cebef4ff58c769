export { arrivalsOf, ratesOfTrace, type RateStep } from './arrivals.js';
export { OpenLoopSender, type OpenLoopTarget } from './open-loop-sender.js';
export type { PacedLoad } from './paced-load.js';
export {
  startPacedRequests,
  type PacedEnd,
  type PacedOutcome,
  type PacedProgress,
  type PacedRequests,
  type PacedRequestsOptions,
} from './paced-requests.js';
export { RequestTally, type PacedSummary, type RequestListener, type RequestTimes } from './request-tally.js';
export { syntheticRates, syntheticSourceSchema, type SyntheticSource } from './synthetic.js';
export { startSyntheticSource } from './synthetic-source.js';
export {
  parseDateTime,
  parseTrace,
  readTrace,
  windowOf,
  type ReadTrace,
  type Trace,
  type TraceWindow,
} from './trace.js';
