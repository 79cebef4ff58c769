import { setTimeout as delay } from 'node:timers/promises';

export interface LoopOptions {
  name: string;
  /** From the start of one run to the start of the next. A run that takes longer delays the next one: runs never overlap. */
  periodMs: number;
  /** A run that takes longer is reported as failed and its signal aborted; the next one waits for its end. */
  timeoutMs: number;
  run: (signal: AbortSignal) => Promise<void>;
  observer: LoopObserver;
}

/** Every outcome of a run, to be counted. */
export interface LoopObserver {
  ran(run: { name: string; durationMs: number; overrun: boolean }): void;
  failed(run: { name: string; error: Error }): void;
}

/** Work that repeats. A failed run is reported and the next one starts in time: a loop never dies of one bad run. */
export class Loop {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  /** The run that has not ended yet; one that took too long may be left over. */
  private pending: Promise<void> | undefined;

  constructor(private readonly options: LoopOptions) {}

  start(): void {
    this.running ??= this.repeat();
  }

  /** Lets the run at hand finish. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async repeat(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const startedMs = performance.now();
      await this.once();
      const restMs = this.options.periodMs - (performance.now() - startedMs);
      // A break of at least one turn of the event loop, so that an overrunning loop starves nobody.
      await delay(Math.max(1, restMs), undefined, { signal }).catch(() => undefined);
    }
  }

  private async once(): Promise<void> {
    const { name, periodMs, timeoutMs, run, observer } = this.options;
    const timeout = new AbortController();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      timeout.abort();
      late.reject(new Error(`loop ${name}: a run must end within ${timeoutMs} ms`));
    }, timeoutMs);
    const startedMs = performance.now();
    try {
      if (this.pending !== undefined)
        throw new Error(`loop ${name}: the run that took too long must end first`);
      const work = run(timeout.signal);
      this.pending = work.then(
        () => (this.pending = undefined),
        () => (this.pending = undefined),
      );
      await Promise.race([work, late.promise]);
      const durationMs = performance.now() - startedMs;
      observer.ran({ name, durationMs, overrun: durationMs > periodMs });
    } catch (error) {
      observer.failed({ name, error: error as Error });
    } finally {
      clearTimeout(timer);
    }
  }
}
