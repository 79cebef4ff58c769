import { eventIdOf } from '#adapters/fleet/worker-protocol';
import type { ExecutionEvent, Phase } from '#domain/events';
import type { ExecutionRequest } from './execution-request.js';

const MAX_ERROR_CLASS_CHARS = 200;

/** How an execution ended. */
export interface ExecutionEnd {
  phase: 'completed' | 'failed';
  /** Absent when it never got a slot. */
  startedAtMs: number | undefined;
  endedAtMs: number;
  errorClass?: string | undefined;
}

interface Sender {
  pool: string;
  workerId: string;
}

/** Sent for an execution that is long: without it, it would count as waiting until it ends. */
export function startEvent(worker: Sender, execution: ExecutionRequest, startedAtMs: number): ExecutionEvent {
  return eventOf(worker, execution, { phase: 'started', atMs: startedAtMs, more: { startedAtMs } });
}

/** Sent for every execution; it tells its start as well. */
export function endEvent(
  worker: Sender,
  execution: ExecutionRequest,
  { phase, startedAtMs, endedAtMs, errorClass }: ExecutionEnd,
): ExecutionEvent {
  const more = {
    ...(errorClass !== undefined && { errorClass: errorClass.slice(0, MAX_ERROR_CLASS_CHARS) || 'Error' }),
    ...(startedAtMs !== undefined && { startedAtMs }),
    endedAtMs,
  };
  return eventOf(worker, execution, { phase, atMs: endedAtMs, more });
}

function eventOf(
  { pool, workerId }: Sender,
  { executionId, taskType, attempt, queuedAtMs }: ExecutionRequest,
  { phase, atMs, more }: { phase: Phase; atMs: number; more: Partial<ExecutionEvent['data']> },
): ExecutionEvent {
  return {
    specversion: '1.0',
    id: eventIdOf({ executionId, attempt, phase }),
    source: `/headroom/workers/${workerId}`,
    type: `com.headroom.execution.${phase}.v1`,
    subject: executionId,
    time: new Date(atMs).toISOString(),
    data: { pool, taskType, attempt, workerId, queuedAtMs, ...more },
  };
}
