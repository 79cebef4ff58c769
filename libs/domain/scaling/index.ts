export { decide } from './decide.js';
export {
  BLIND_REASONS,
  decisionIdOf,
  LIMITS,
  REASONS,
  type AppliedLimit,
  type BlindReason,
  type Decision,
  type DecisionInput,
  type DecisionInputs,
  type DecisionKind,
  type DecisionMemory,
  type FleetView,
  type Limit,
  type Reason,
} from './decision.js';
export { forecastEndsEarly } from './inputs.js';
export { holdSecondsOf } from './limits.js';
export { sameHold } from './same-hold.js';
export { staleAfterS } from './staleness.js';
export { policySchema, type Policy } from './policy.js';
