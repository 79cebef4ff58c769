/**
 * How a fleet and a local worker process talk, over the IPC channel of the child process:
 *
 *   fleet ──start──▶ worker ──listening──▶ fleet (ready) … ──drain──▶ worker finishes what it has, exits with 0
 *
 * The worker exits by itself when the channel closes: its parent is gone. Both ends are this program in one version,
 * and nobody else can write to the channel: plain types, no schema (which would cost each worker 12 MB).
 */
export interface WorkerStart {
  kind: 'start';
  pool: string;
  workerId: string;
  /** Requests served at once, ≥ 1. */
  slots: number;
  /** Requests that may wait for a slot; more get 503. */
  queueLimit: number;
  /** Folder of handler modules. */
  handlersDir: string;
  /** Artificial delay before the worker listens, to try out lead times. */
  startDelayMs: number;
  /** A worker that is asked to drain may finish what it has for this long. */
  drainMs: number;
  /** Where execution events go; absent = nowhere. The token changes by a `token` message before it expires. */
  events?: { url: string; token: string };
}

export type ToWorker = WorkerStart | { kind: 'token'; token: string } | { kind: 'drain' };
/**
 * `failed`: the worker cannot start and ends; the message says why. `events_dropped`: so many execution events will
 * never arrive, since the last such message.
 */
export type FromWorker =
  | { kind: 'listening'; port: number }
  | { kind: 'failed'; message: string }
  | { kind: 'events_dropped'; events: number; reason: 'overflow' | 'refused' | 'closed' };

/** Below it a worker answers about itself: no execution, and nothing for the callers of a router. */
export const OWN_PATH = '/.headroom';
/** Answers 200 when the worker may be chosen, 503 while it drains. */
export const READY_PATH = `${OWN_PATH}/ready`;

/** Headers of a routed request: what the worker needs for its execution events. Lower case. */
export const EXECUTION_HEADERS = {
  executionId: 'x-headroom-execution-id',
  taskType: 'x-headroom-task-type',
  attempt: 'x-headroom-attempt',
  /** Epoch ms with fraction: when the router took the request. */
  queuedAtMs: 'x-headroom-queued-at-ms',
  /** Epoch ms: after it nobody waits for the answer. */
  deadlineAtMs: 'x-headroom-deadline-at-ms',
} as const;

/** A larger body is refused with 413: by the router, by its Content-Length or as it flows, and by the worker. */
export const MAX_BODY_BYTES = 1_048_576;

/** What an event id adds to an execution id must fit into the event schema's 200 characters. */
export const MAX_EXECUTION_ID_CHARS = 180;

/**
 * Id of the event that says so of an attempt. A function of its arguments, so that router and worker, when both report
 * the same news, are counted once.
 */
export function eventIdOf(attempt: { executionId: string; attempt: number; phase: string }): string {
  return `${attempt.executionId}.${attempt.attempt}.${attempt.phase}`;
}

/** Headers of a worker's answer. */
export const REPLY_HEADERS = {
  /**
   * `completed` or `failed`: the worker reports this end of the execution. Absent on what it answers without reporting:
   * a request that never had a place, HTTP that Node refuses by itself. Then whoever asked must report the end.
   */
  end: 'x-headroom-end',
  workerId: 'x-headroom-worker-id',
  /** How long the handler took, ms with fraction; absent when none ran. */
  serviceMs: 'x-headroom-service-ms',
} as const;
