import { setTimeout as delay } from 'node:timers/promises';
import type { RecordSourceOptions, SourceRecord } from './record-source.js';

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 10_000;

/** What a session may do while it is connected. */
export interface Session {
  /** Aborted when the source is to close: the session ends after the batch at hand. */
  readonly closing: AbortSignal;
  connected(): void;
  /** Hands a batch over until it is taken. False: the source closes and it was not. */
  handOver(records: readonly SourceRecord[]): Promise<boolean>;
}

/**
 * One connection after the other, until closed:
 *
 *   start ─▶ session ── ends because it failed ──▶ pause, longer each time ──▶ session …
 *               └────── ends because closing ──▶ closed
 *
 * A pause starts over at its shortest once something was taken.
 */
export class Sessions {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private failures = 0;

  constructor(
    private readonly options: RecordSourceOptions,
    /** Consumes until it fails or closing is asked for; must leave nothing open. */
    private readonly consume: (session: Session) => Promise<void>,
  ) {}

  start(): void {
    this.running ??= this.repeat();
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async repeat(): Promise<void> {
    const { observer } = this.options;
    const session: Session = {
      closing: this.stopping.signal,
      connected: () => observer.connected(),
      handOver: (records) => this.handOver(records),
    };
    while (!this.stopping.signal.aborted) {
      try {
        await this.consume(session);
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        const retryInMs = this.nextPauseMs();
        observer.disconnected({ error: error as Error, retryInMs });
        await this.pause(retryInMs);
      }
    }
  }

  /** In place, and not by giving the batch back: some systems give up on what comes back too often. */
  private async handOver(records: readonly SourceRecord[]): Promise<boolean> {
    const { take, observer } = this.options;
    for (;;) {
      try {
        await take(records);
        this.failures = 0;
        return true;
      } catch (error) {
        if (this.stopping.signal.aborted) return false;
        const retryInMs = this.nextPauseMs();
        observer.notTaken({ error: error as Error, retryInMs, records: records.length });
        await this.pause(retryInMs);
        if (this.stopping.signal.aborted) return false;
      }
    }
  }

  private nextPauseMs(): number {
    return Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.failures++, 20));
  }

  private async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}
