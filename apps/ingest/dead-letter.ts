import type { NewRecord } from '#adapters/event-log';

/**
 * A record of `executions.dlq.v1`: the value as it came, and in the headers why it counts nowhere and where it was.
 */
export function deadLetterRecord(given: {
  key: string;
  value: string | null;
  reason: string;
  detail: string;
  /** e.g. `executions.v1[2]@17`, or `POST /v1/events`. */
  source: string;
  /** The mapping that refused it; without one it is no event. */
  mapping?: string;
}): NewRecord {
  const { key, value, reason, detail, source, mapping } = given;
  return { key, value, headers: { reason, detail, source, ...(mapping !== undefined && { mapping }) } };
}
