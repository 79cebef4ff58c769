import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { EXECUTION_HEADERS, MAX_EXECUTION_ID_CHARS } from '#adapters/fleet/worker-protocol';

/** Who asks for what, from the headers the router sets. */
export interface ExecutionRequest {
  executionId: string;
  taskType: string;
  attempt: number;
  queuedAtMs: number;
  deadlineAtMs: number;
}

export type ReadExecution = { ok: true; execution: ExecutionRequest } | { ok: false; problem: string };

/** No execution of a worker takes longer: the deadline of a request that names none, or a later one. */
export const MAX_EXECUTION_MS = 3_600_000;
/** The bounds of the event schema. */
const MAX_TASK_TYPE_CHARS = 200;
const MAX_ATTEMPT = 1000;
const MAX_EPOCH_MS = 4_102_444_800_000;

/**
 * A header that is there but wrong is refused: a guess would end in the demand of the wrong time. One that is absent has
 * a default, so that a worker can be tried with curl.
 */
export function readExecution(headers: IncomingHttpHeaders, nowMs: number): ReadExecution {
  const problems: string[] = [];
  const text = (header: string, absent: string, maxChars: number) => {
    const value = headers[header] ?? absent;
    if (typeof value === 'string' && value.length >= 1 && value.length <= maxChars) return value;
    problems.push(`${header}: must have 1 to ${maxChars} characters, got ${value.length}`);
    return absent;
  };
  const number = (
    header: string,
    absent: number,
    rule: { what: string; holds: (value: number) => boolean },
  ) => {
    const given = headers[header];
    if (given === undefined) return absent;
    const value = given === '' ? NaN : Number(given);
    if (rule.holds(value)) return value;
    problems.push(`${header}: must be ${rule.what}, got ${JSON.stringify(given).slice(0, 50)}`);
    return absent;
  };
  const latestMs = nowMs + MAX_EXECUTION_MS;
  const execution = {
    executionId: text(EXECUTION_HEADERS.executionId, randomUUID(), MAX_EXECUTION_ID_CHARS),
    taskType: text(EXECUTION_HEADERS.taskType, 'default', MAX_TASK_TYPE_CHARS),
    attempt: number(EXECUTION_HEADERS.attempt, 1, ATTEMPT),
    queuedAtMs: number(EXECUTION_HEADERS.queuedAtMs, nowMs, EPOCH_MS),
    deadlineAtMs: Math.min(latestMs, number(EXECUTION_HEADERS.deadlineAtMs, latestMs, EPOCH_MS)),
  };
  return problems.length === 0 ? { ok: true, execution } : { ok: false, problem: problems.join('; ') };
}

const ATTEMPT = {
  what: `an integer from 1 to ${MAX_ATTEMPT}`,
  holds: (value: number) => Number.isInteger(value) && value >= 1 && value <= MAX_ATTEMPT,
};
const EPOCH_MS = {
  what: 'epoch milliseconds up to the year 2100',
  holds: (value: number) => value > 0 && value <= MAX_EPOCH_MS,
};
