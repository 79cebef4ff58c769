import type { Decision } from './decision.js';

/** Whether two consecutive decisions of a pool say the same, and nothing changed: they are kept as one record. */
export function sameHold(a: Decision, b: Decision): boolean {
  if (a.kind === 'scale' || a.kind !== b.kind) return false;
  if (a.desired !== b.desired || a.reason !== b.reason) return false;
  const names = (decision: Decision): string => decision.limits.map(({ limit }) => limit).join();
  return names(a) === names(b) && a.objectiveReachable === b.objectiveReachable;
}
