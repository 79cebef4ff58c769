export type {
  AppliedLimit,
  Decision,
  DecisionInput,
  DecisionKind,
  DecisionMemory,
  FleetView,
} from './decision.js';
export { sameHold } from './same-hold.js';
export { policySchema, type Policy } from './policy.js';
