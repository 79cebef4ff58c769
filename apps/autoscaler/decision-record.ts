import type { DecisionRecord } from '#adapters/store';

/** Only the autoscaler writes decisions.v1: what the table's columns need is looked at, not every field. */
export function decisionRecord(value: unknown): DecisionRecord | undefined {
  const { v, decision, memory, policyVersion } = (value ?? {}) as Partial<DecisionRecord>;
  const isOne =
    v === 1 &&
    typeof decision?.pool === 'string' &&
    typeof decision.kind === 'string' &&
    Number.isInteger(decision.atMs) &&
    memory?.v === 1 &&
    Number.isInteger(policyVersion);
  return isOne ? (value as DecisionRecord) : undefined;
}
