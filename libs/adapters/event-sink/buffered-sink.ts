import type { ExecutionEvent } from '#domain/events';
import type { EventSink, EventSinkObserver } from './event-sink.js';

/** Bounds and pace of a sink; the defaults suit the 500 requests a second of one router. */
export interface SinkLimits {
  /** Events that wait or are on their way; one more is dropped as `overflow`. */
  bufferEvents: number;
  /** The same in bytes of JSON. */
  bufferBytes: number;
  batchEvents: number;
  /** Below the body limit of the receiver. */
  batchBytes: number;
  /** A lone event waits this long for company. */
  lingerMs: number;
  /** One attempt to deliver a batch takes at most this long. */
  deliverMs: number;
  /** The pause before the first repetition; it doubles up to `retryMaxMs`. */
  retryMinMs: number;
  retryMaxMs: number;
}

export const SINK_LIMITS: SinkLimits = {
  bufferEvents: 20_000,
  bufferBytes: 16 * 1_048_576,
  batchEvents: 500,
  batchBytes: 512 * 1024,
  lingerMs: 25,
  deliverMs: 5_000,
  retryMinMs: 100,
  retryMaxMs: 5_000,
};

/** An event as it waits: serialised once, however often it is sent. */
export interface WaitingEvent {
  executionId: string;
  json: string;
  bytes: number;
}

/**
 * What became of a batch. `too_large`: it is sent again in halves. A rejection means "try again later". The signal
 * is aborted when nobody waits for the answer any more.
 */
export type Delivery = 'acknowledged' | 'refused' | 'too_large';
export type Deliver = (batch: readonly WaitingEvent[], signal: AbortSignal) => Promise<Delivery>;

/**
 * The buffer in front of a receiver. One batch is on its way at a time, so that what is unacknowledged has one order
 * and one place, and a receiver in trouble gets one request at a time:
 *
 *   emit ─▶ [ waiting … ] ─ linger or full batch ─▶ deliver ─ acknowledged, refused ─▶ removed
 *                 ▲                                    └─ failed: back-off, the same events again
 *
 * Repetitions are not bounded by a number: an event waits until it is acknowledged, refused, or the sink is closed,
 * and the buffer bounds how many do.
 */
export class BufferedSink implements EventSink {
  private readonly limits: SinkLimits;
  private waiting: WaitingEvent[] = [];
  private waitingBytes = 0;
  private emitted = 0;
  private settled = 0;
  private batchEvents: number;
  private failures = 0;
  private sending = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly closing = new AbortController();
  private readonly flushes = new Set<{ upTo: number; done: () => void }>();

  constructor(
    private readonly deliver: Deliver,
    private readonly observer: EventSinkObserver,
    given: Partial<SinkLimits> = {},
    private readonly random: () => number = Math.random,
  ) {
    this.limits = { ...SINK_LIMITS, ...given };
    this.batchEvents = this.limits.batchEvents;
  }

  emit(event: ExecutionEvent): void {
    if (this.closed) return this.observer.dropped(1, 'closed');
    const json = JSON.stringify(event);
    const bytes = Buffer.byteLength(json);
    const { bufferEvents, bufferBytes } = this.limits;
    if (this.waiting.length >= bufferEvents || this.waitingBytes + bytes > bufferBytes) {
      return this.observer.dropped(1, 'overflow');
    }
    this.waiting.push({ executionId: event.subject, json, bytes });
    this.waitingBytes += bytes;
    this.emitted += 1;
    if (this.failures === 0) this.schedule();
  }

  flush(deadlineMs: number): Promise<void> {
    if (this.settled === this.emitted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const flush = { upTo: this.emitted, done: resolve };
    this.flushes.add(flush);
    const late = setTimeout(resolve, deadlineMs);
    // Whoever flushes is about to leave: neither linger nor back-off is worth the wait.
    this.sendIn(0);
    return promise.finally(() => {
      clearTimeout(late);
      this.flushes.delete(flush);
    });
  }

  async close(deadlineMs: number): Promise<void> {
    if (this.closed) return;
    await this.flush(deadlineMs);
    this.closed = true;
    clearTimeout(this.timer);
    this.closing.abort();
    const unsent = this.waiting.length;
    if (unsent > 0) this.remove(unsent, () => this.observer.dropped(unsent, 'closed'));
  }

  private schedule(): void {
    if (this.waiting.length >= this.batchEvents || this.flushes.size > 0) this.sendIn(0);
    else if (this.timer === undefined) this.sendIn(this.limits.lingerMs);
  }

  private sendIn(delayMs: number): void {
    if (this.sending || this.closed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.send(), delayMs);
  }

  /** Never rejects: every outcome of a batch is handled here. */
  private async send(): Promise<void> {
    this.timer = undefined;
    this.sending = true;
    const batch = this.nextBatch();
    const signal = AbortSignal.any([this.closing.signal, AbortSignal.timeout(this.limits.deliverMs)]);
    let retryInMs: number | undefined;
    try {
      const delivery = await settledBy(signal, this.deliver(batch, signal));
      if (this.closed) return;
      this.failures = 0;
      this.finish(batch, delivery);
    } catch (error) {
      if (this.closed) return;
      retryInMs = this.retryInMs();
      this.observer.retrying(error as Error, retryInMs);
    } finally {
      this.sending = false;
    }
    if (retryInMs !== undefined) this.sendIn(retryInMs);
    else if (this.waiting.length > 0) this.schedule();
  }

  private nextBatch(): WaitingEvent[] {
    let bytes = 0;
    let events = 0;
    for (const event of this.waiting) {
      bytes += event.bytes + 1;
      if (events === this.batchEvents || (events > 0 && bytes > this.limits.batchBytes)) break;
      events += 1;
    }
    return this.waiting.slice(0, events);
  }

  private finish(batch: readonly WaitingEvent[], delivery: Delivery): void {
    if (delivery === 'too_large' && batch.length > 1) {
      // The receiver's limit is unknown but does not change: the smaller size stays.
      this.batchEvents = Math.ceil(batch.length / 2);
    } else if (delivery === 'acknowledged') {
      this.remove(batch.length, () => this.observer.acknowledged(batch.length));
    } else {
      this.remove(batch.length, () => this.observer.dropped(batch.length, 'refused'));
    }
  }

  private remove(events: number, report: () => void): void {
    const gone = this.waiting.slice(0, events);
    this.waiting = this.waiting.slice(events);
    this.waitingBytes -= gone.reduce((sum, { bytes }) => sum + bytes, 0);
    this.settled += events;
    report();
    for (const flush of this.flushes) if (flush.upTo <= this.settled) flush.done();
  }

  /** Exponential with "equal jitter": half of the pause is certain, half by chance, so that senders part. */
  private retryInMs(): number {
    const { retryMinMs, retryMaxMs } = this.limits;
    const fullMs = Math.min(retryMaxMs, retryMinMs * 2 ** this.failures);
    this.failures += 1;
    return fullMs * (0.5 + this.random() / 2);
  }
}

/** Waits for a delivery, but not longer than the signal: a receiver that ignores it must not stop the sink. */
async function settledBy(signal: AbortSignal, delivery: Promise<Delivery>): Promise<Delivery> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([delivery, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
