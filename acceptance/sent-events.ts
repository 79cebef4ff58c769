/** An execution event of version 1, as a workflow platform posts it. */
export interface SentEvent {
  specversion: '1.0';
  id: string;
  source: string;
  type: string;
  subject: string;
  data: { pool: string; queuedAtMs: number; startedAtMs?: number; endedAtMs?: number };
}

/** An execution that waited 1 ms and took 20: one event tells all of it. */
export function completed(execution: { id: string; pool: string; queuedAtMs: number }): SentEvent {
  const { id, pool, queuedAtMs } = execution;
  return {
    specversion: '1.0',
    id: `${id}/completed`,
    source: 'acceptance',
    type: 'com.headroom.execution.completed.v1',
    subject: id,
    data: { pool, queuedAtMs, startedAtMs: queuedAtMs + 1, endedAtMs: queuedAtMs + 21 },
  };
}

/** The beginning of an execution whose end is told later. */
export function queued(execution: { id: string; pool: string; queuedAtMs: number }): SentEvent {
  const { id, pool, queuedAtMs } = execution;
  const { specversion, source, subject } = completed(execution);
  const type = 'com.headroom.execution.queued.v1';
  return { specversion, id: `${id}/queued`, source, type, subject, data: { pool, queuedAtMs } };
}

/** `count` executions, spread evenly over a time. */
export function completedBetween(given: {
  prefix: string;
  pool: string;
  fromMs: number;
  toMs: number;
  count: number;
}): SentEvent[] {
  const { prefix, pool, fromMs, toMs, count } = given;
  return Array.from({ length: count }, (_, i) =>
    completed({ id: `${prefix}-${i}`, pool, queuedAtMs: Math.round(fromMs + ((toMs - fromMs) * i) / count) }),
  );
}
