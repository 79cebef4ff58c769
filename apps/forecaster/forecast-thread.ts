import { Worker } from 'node:worker_threads';
import type { Forecast, ForecastSettings } from '#domain/forecasting';

/** Newly closed buckets of one pool; a pool the thread does not know starts with its history, in one step or several. */
export interface ForecastStep {
  settings: ForecastSettings;
  /** Consecutive, oldest first; null = missing. */
  closed: { startMs: number; arrivals: number | null }[];
}

export type ToForecastThread =
  { kind: 'step'; id: number; steps: ForecastStep[] } | { kind: 'forget'; pools: string[] };
export interface FromForecastThread extends StepResult {
  id: number;
}

export interface StepResult {
  /** Of the pools that have enough history for one. */
  forecasts: Forecast[];
  /** Pools whose step failed: the thread has forgotten them, nobody knows what their memories had seen. */
  failed: { pool: string; message: string }[];
}

/**
 * A message whose steps take longer has hung: 7 µs for each bucket and horizon, so those who send it bound their product
 * (docs/benchmarks/decide.md).
 */
const STEP_DEADLINE_MS = 60_000;

/** What a step costs the thread, in buckets × horizons. */
export function workOf({ settings, closed }: ForecastStep): number {
  return closed.length * settings.horizonsS.length;
}

interface Waiting {
  resolve(result: StepResult): void;
  reject(error: Error): void;
}

/**
 * The thread that holds what the forecasters have learned: arithmetic over long histories must not stop the data path.
 * When it breaks it is replaced by one that knows nothing: every pool must be opened with its history again.
 */
export class ForecastThread {
  private thread: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private readonly known = new Set<string>();
  private nextId = 1;
  private closing = false;

  /** False: the next step of the pool must carry its history. */
  knows(pool: string): boolean {
    return this.known.has(pool);
  }

  /** Rejects when the thread broke or hangs; a pool that fails does so alone. */
  async step(steps: ForecastStep[]): Promise<StepResult> {
    const id = this.nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<StepResult>();
    this.waiting.set(id, { resolve, reject });
    const hung = () => this.discard(new Error(`forecasting: a step within ${STEP_DEADLINE_MS} ms, got none`));
    const deadline = setTimeout(hung, STEP_DEADLINE_MS);
    this.send({ kind: 'step', id, steps });
    for (const { settings } of steps) this.known.add(settings.pool);
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
      this.waiting.delete(id);
    }
  }

  forget(pools: string[]): void {
    for (const pool of pools) this.known.delete(pool);
    if (this.thread !== undefined) this.send({ kind: 'forget', pools });
  }

  async close(): Promise<void> {
    this.closing = true;
    await this.thread?.terminate();
  }

  private send(message: ToForecastThread): void {
    this.thread ??= this.open();
    this.thread.postMessage(message);
  }

  private open(): Worker {
    const thread = new Worker(new URL('./forecast.thread.js', import.meta.url));
    thread.on('message', ({ id, forecasts, failed }: FromForecastThread) => {
      for (const { pool } of failed) this.known.delete(pool);
      this.waiting.get(id)?.resolve({ forecasts, failed });
    });
    thread.on('error', (error) => this.discard(error as Error));
    thread.on('exit', () => this.discard(new Error('forecasting: its thread has ended')));
    return thread;
  }

  private discard(error: Error): void {
    const broken = this.thread;
    this.thread = undefined;
    this.known.clear();
    broken?.removeAllListeners();
    if (!this.closing) void broken?.terminate();
    for (const { reject } of this.waiting.values()) reject(error);
  }
}
