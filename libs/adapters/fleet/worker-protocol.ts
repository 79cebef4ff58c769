import { z } from 'zod';

/**
 * How a fleet and a local worker process talk, over the IPC channel of the child process:
 *
 *   fleet ──start──▶ worker ──listening──▶ fleet (ready) … ──drain──▶ worker finishes what it has, exits with 0
 *
 * The worker exits by itself when the channel closes: its parent is gone.
 */
export const workerStartSchema = z.strictObject({
  kind: z.literal('start'),
  pool: z.string(),
  workerId: z.string(),
  /** Requests served at once. */
  slots: z.number().int().min(1),
  /** Requests that may wait for a slot; more get 503. */
  queueLimit: z.number().int().min(0),
  /** Folder of handler modules. */
  handlersDir: z.string(),
  /** Artificial delay before the worker listens, to try out lead times. */
  startDelayMs: z.number().min(0),
  /** Where execution events go; absent = nowhere. The token changes by a `token` message before it expires. */
  events: z.strictObject({ url: z.string(), token: z.string() }).optional(),
});
export type WorkerStart = z.output<typeof workerStartSchema>;

export type ToWorker = WorkerStart | { kind: 'token'; token: string } | { kind: 'drain' };
export type FromWorker = { kind: 'listening'; port: number } | { kind: 'failed'; message: string };

/** Answers 200 when the worker may be chosen. */
export const READY_PATH = '/.headroom/ready';

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
