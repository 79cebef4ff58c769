// What authors of handlers import: `import type { Handler } from '#sdk'`. One file: the house rules count libs/sdk as one library.

/** One execution, as a handler gets it. */
export interface Task {
  executionId: string;
  taskType: string;
  /** 1 for the first try. */
  attempt: number;
  /** The request as it came; `path` with its query. */
  method: string;
  path: string;
  contentType: string | undefined;
  body: Uint8Array;
  /** Aborted at the deadline, when the caller is gone, and when a leaving worker runs out of time. */
  signal: AbortSignal;
  /** Epoch ms: an answer after it reaches nobody. */
  deadlineAtMs: number;
  /** The process that runs the handler. */
  workerId: string;
}

/** The answer. Nothing = 204. A status from 500 on counts as a failed execution, as a thrown error does (500). */
export interface HandlerResult {
  /** 200 … 599; 200 when absent. */
  status?: number;
  contentType?: string;
  body?: string | Uint8Array;
}

/**
 * Serves one kind of task: the default export of a module whose file name is the task type; `default.js` takes every
 * other one. Runs in as many executions at once as the worker has slots, so heed `signal` and do not block.
 */
export type Handler = (task: Task) => Promise<HandlerResult | undefined>;
