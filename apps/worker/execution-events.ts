import { eventIdOf } from '#adapters/fleet';
import type { ExecutionEvent } from '#domain/events';
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

/** The one event a worker sends for an execution. */
export function endEvent(
  worker: { pool: string; workerId: string },
  { executionId, taskType, attempt, queuedAtMs }: ExecutionRequest,
  { phase, startedAtMs, endedAtMs, errorClass }: ExecutionEnd,
): ExecutionEvent {
  return {
    specversion: '1.0',
    id: eventIdOf({ executionId, attempt, phase }),
    source: `/headroom/workers/${worker.workerId}`,
    type: `com.headroom.execution.${phase}.v1`,
    subject: executionId,
    time: new Date(endedAtMs).toISOString(),
    data: {
      pool: worker.pool,
      taskType,
      attempt,
      workerId: worker.workerId,
      ...(errorClass !== undefined && { errorClass: errorClass.slice(0, MAX_ERROR_CLASS_CHARS) || 'Error' }),
      queuedAtMs,
      ...(startedAtMs !== undefined && { startedAtMs }),
      endedAtMs,
    },
  };
}
