import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { EXECUTION_HEADERS, MAX_EXECUTION_ID_CHARS } from '#adapters/fleet';

/** What a request says about itself, or what it is given. */
export interface ExecutionIdentity {
  executionId: string;
  attempt: number;
  taskType: string;
}

const EXECUTION_ID = new RegExp(`^[\\x21-\\x7e]{1,${MAX_EXECUTION_ID_CHARS}}$`);
const TASK_TYPE = /^[\x20-\x7e]{1,200}$/;
const ATTEMPT = /^[1-9]\d{0,3}$/;
const MAX_ATTEMPT = 1000;

/**
 * A header that cannot be used counts as absent: a request is not refused for what only statistics need. Execution id and
 * attempt decide what counts as demand: unless the callers are trusted with that, each request is an execution.
 */
export function executionIdentity(headers: IncomingHttpHeaders, trusted: boolean): ExecutionIdentity {
  const taskType = textOf(headers[EXECUTION_HEADERS.taskType], TASK_TYPE) ?? 'default';
  if (!trusted) return { executionId: randomUUID(), attempt: 1, taskType };
  const executionId = textOf(headers[EXECUTION_HEADERS.executionId], EXECUTION_ID);
  const attempt = Number(textOf(headers[EXECUTION_HEADERS.attempt], ATTEMPT) ?? 1);
  return {
    executionId: executionId ?? randomUUID(),
    attempt: attempt <= MAX_ATTEMPT ? attempt : 1,
    taskType,
  };
}

function textOf(value: string | string[] | undefined, rule: RegExp): string | undefined {
  return typeof value === 'string' && rule.test(value) ? value : undefined;
}
