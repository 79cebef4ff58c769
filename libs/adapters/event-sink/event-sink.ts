import type { ExecutionEvent } from '#domain/events';

/**
 * Where a service of ours sends execution events: never in the way of the request that caused them. Events wait in a
 * bounded buffer and are sent in batches; what is not acknowledged is sent again under the same id.
 */
export interface EventSink {
  /** Never blocks and never throws. A full buffer drops the event and counts it. */
  emit(event: ExecutionEvent): void;
  /** Resolves when everything emitted so far is acknowledged or dropped, at the latest after `deadlineMs`. */
  flush(deadlineMs: number): Promise<void>;
  /** Flushes, then takes no more. */
  close(deadlineMs: number): Promise<void>;
}

/** What became of events: counted by whoever owns the sink. */
export interface EventSinkObserver {
  acknowledged(events: number): void;
  /** `overflow`: the buffer was full. `refused`: the receiver will never take them. `closed`: unsent at the end. */
  dropped(events: number, reason: 'overflow' | 'refused' | 'closed'): void;
  /** A batch will be sent again. */
  retrying(error: Error, retryInMs: number): void;
}
