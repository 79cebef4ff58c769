import { Worker } from 'node:worker_threads';
import type { OpenLoopTarget } from '#adapters/sources';

/** One request as the thread reports it, in columns; times are ms from the first scored second. */
export interface SentRequests {
  plannedMs: Float64Array;
  /** From the planned time to the end of the answer, or to its failure. */
  latencyMs: Float64Array;
  /** HTTP status; 0: no answer. */
  status: Uint16Array;
  /** How much later than planned each was sent. */
  latenessMs: Float64Array;
  byError: Record<string, number>;
}

export interface SenderThreadData {
  target: OpenLoopTarget;
  ratesPerS: number[];
  seed: number;
  /** Of the first second of the rates, epoch ms. */
  startMs: number;
  /** Of the first scored second, epoch ms. */
  scoredFromMs: number;
}

/** Sends a load at a time of the clock, from a thread of its own. Rejects when the thread breaks. */
export function sendRequests(data: SenderThreadData): Promise<SentRequests> {
  const thread = new Worker(new URL('./sender.thread.js', import.meta.url), { workerData: data });
  return new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`sender: must end with its requests, got exit ${code}`)));
  });
}
