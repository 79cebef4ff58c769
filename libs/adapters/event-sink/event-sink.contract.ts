import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ExecutionEvent } from '#domain/events';
import type { SinkLimits } from './buffered-sink.js';
import type { EventSink, EventSinkObserver } from './event-sink.js';

/** A receiver that can be told to fail. */
export interface Receiver {
  open(observer: EventSinkObserver, limits: Partial<SinkLimits>): EventSink;
  /** While true it takes nothing. */
  fail(failing: boolean): void;
  /** Ids of what it has, as often as it took them. */
  received(): Promise<string[]>;
  stop(): Promise<void>;
}

const QUICK: Partial<SinkLimits> = { lingerMs: 1, retryMinMs: 2, retryMaxMs: 10, batchEvents: 10 };
const PATIENT_MS = 3_000;

/** What every sink must do; run on each implementation. */
export function eventSinkContract(name: string, start: () => Promise<Receiver>): void {
  describe(`event sink contract: ${name}`, () => {
    let receiver: Receiver;
    let acknowledged: number;
    let dropped: Record<string, number>;
    let onRetry: () => void;
    const observer: EventSinkObserver = {
      acknowledged: (events) => void (acknowledged += events),
      dropped: (events, reason) => void (dropped[reason] = (dropped[reason] ?? 0) + events),
      retrying: () => onRetry(),
    };
    beforeEach(async () => {
      acknowledged = 0;
      dropped = {};
      onRetry = () => undefined;
      receiver = await start();
    });
    afterEach(() => receiver.stop());

    test('what is emitted arrives once, in batches', async () => {
      const sink = receiver.open(observer, QUICK);
      for (const event of events(35)) sink.emit(event);
      await sink.flush(PATIENT_MS);
      expect((await receiver.received()).sort()).toEqual(ids(35));
      expect(acknowledged).toBe(35);
      await sink.flush(PATIENT_MS);
      await sink.close(PATIENT_MS);
    });

    test('nothing is lost while the receiver fails: the same ids are sent again', async () => {
      const sink = receiver.open(observer, QUICK);
      receiver.fail(true);
      const retried = Promise.withResolvers<void>();
      let retries = 0;
      onRetry = () => (retries += 1) === 4 && retried.resolve();
      for (const event of events(25)) sink.emit(event);
      await retried.promise;
      receiver.fail(false);
      await sink.close(PATIENT_MS);
      expect([...new Set(await receiver.received())].sort()).toEqual(ids(25));
      expect({ acknowledged, dropped }).toEqual({ acknowledged: 25, dropped: {} });
    });

    test('what does not fit the buffer is dropped and counted, in events and in bytes', async () => {
      receiver.fail(true);
      const sink = receiver.open(observer, { ...QUICK, bufferEvents: 5 });
      for (const event of events(8)) sink.emit(event);
      expect(dropped).toEqual({ overflow: 3 });
      const small = receiver.open(observer, { ...QUICK, bufferBytes: 10 });
      small.emit(events(1)[0]!);
      expect(dropped).toEqual({ overflow: 4 });
      receiver.fail(false);
      await sink.close(PATIENT_MS);
      await small.close(PATIENT_MS);
      expect(acknowledged).toBe(5);
    });

    test('close gives up at its deadline, counts what is left, and takes no more', async () => {
      receiver.fail(true);
      const sink = receiver.open(observer, QUICK);
      for (const event of events(12)) sink.emit(event);
      await sink.close(20);
      sink.emit(events(1)[0]!);
      await sink.close(20);
      expect({ acknowledged, dropped }).toEqual({ acknowledged: 0, dropped: { closed: 13 } });
    });
  });
}

/** `id00000` … */
export const ids = (count: number) =>
  Array.from({ length: count }, (_, i) => `id${String(i).padStart(5, '0')}`);

export function events(count: number): ExecutionEvent[] {
  return ids(count).map((id) => ({
    specversion: '1.0',
    id,
    source: '/test',
    type: 'com.headroom.execution.queued.v1',
    subject: `execution of ${id}`,
    data: { pool: 'demo', taskType: 'default', attempt: 1, queuedAtMs: 1_700_000_000_000 },
  }));
}
