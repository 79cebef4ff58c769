import { Worker } from 'node:worker_threads';
import type { PacedLoad } from './paced-load.js';
import type { PacedSummary } from './request-tally.js';

export interface PacedRequestsOptions {
  load: PacedLoad;
  /** Arrival times of the same seed and load are the same. */
  seed: number;
  url: string;
  method?: 'GET' | 'POST';
  headers?: Record<string, string> | undefined;
  /** An answer slower than this is counted as over the objective, ms. */
  objectiveMs: number;
  deadlineMs?: number;
  maxInFlight?: number;
  /** Gives up when nothing could connect for this long; undefined = never. */
  unreachableAfterMs?: number;
  /** Called about once per second, and never after the end. */
  onProgress?: ((progress: PacedProgress) => void) | undefined;
}

/** Requests in flight before further ones are skipped: 4 s of 250 requests a second. */
export const DEFAULT_MAX_IN_FLIGHT = 1000;
export const DEFAULT_DEADLINE_MS = 10_000;
/** A thread that does not stop within this time is ended. */
const STOP_DEADLINE_MS = 3000;

export type PacedProgress = PacedSummary;

/** What the thread receives; all of it is plain data. */
export type PacedThreadData = Required<
  Pick<PacedRequestsOptions, 'load' | 'seed' | 'url' | 'method' | 'headers' | 'objectiveMs' | 'deadlineMs'>
> & { headers: Record<string, string>; maxInFlight: number; unreachableAfterMs: number | undefined };

export type PacedOutcome = 'finished' | 'stopped' | 'unreachable';
export type PacedMessage =
  { kind: 'progress'; summary: PacedSummary } | { kind: 'end'; outcome: PacedOutcome; summary: PacedSummary };

export interface PacedEnd {
  outcome: PacedOutcome;
  summary: PacedSummary;
}

export interface PacedRequests {
  /** Resolves when everything was sent and answered, or after `stop()`. Rejects when the thread broke. */
  readonly ended: Promise<PacedEnd>;
  /** Sends nothing more; requests in flight get half a second. Idempotent. */
  stop(): Promise<PacedEnd>;
}

/**
 * Sends a load from a thread of its own, so that neither drawing arrival times nor a busy caller moves a request, and
 * sending does not delay the caller. The thread ends with its process, however that ends.
 */
export function startPacedRequests(options: PacedRequestsOptions): PacedRequests {
  const { onProgress, ...plain } = options;
  const data: PacedThreadData = {
    method: 'GET',
    deadlineMs: DEFAULT_DEADLINE_MS,
    maxInFlight: DEFAULT_MAX_IN_FLIGHT,
    unreachableAfterMs: undefined,
    ...plain,
    headers: plain.headers ?? {},
  };
  const thread = new Worker(new URL('./paced-requests.thread.js', import.meta.url), { workerData: data });
  const ended = endOf(thread, onProgress);
  const stop = (): Promise<PacedEnd> => {
    thread.postMessage('stop');
    const guard = setTimeout(() => void thread.terminate(), STOP_DEADLINE_MS);
    return ended.finally(() => clearTimeout(guard));
  };
  return { ended, stop };
}

function endOf(thread: Worker, onProgress: PacedRequestsOptions['onProgress']): Promise<PacedEnd> {
  return new Promise((resolve, reject) => {
    let end: PacedEnd | undefined;
    thread.on('message', (message: PacedMessage) => {
      if (message.kind === 'progress') onProgress?.(message.summary);
      else end = { outcome: message.outcome, summary: message.summary };
    });
    thread.on('error', reject);
    thread.on('exit', (code) => {
      if (end === undefined)
        reject(new Error(`paced requests: thread must end by itself, got exit code ${code}`));
      else resolve(end);
    });
  });
}
