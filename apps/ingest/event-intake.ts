import type { EventLog, NewRecord } from '#adapters/event-log';
import { cutBelow, isDeeperThan } from '#adapters/input-problems';
import {
  checkExecutionEvent,
  MAX_EVENT_BYTES,
  parseExecutionEvent,
  type ParsedEvent,
  type Refusal,
} from '#domain/events';
import { deadLetterRecord } from './dead-letter.js';
import { appendReceived, type NotTaken } from './event-append.js';
import type { IngestObserver } from './ingest-observer.js';

/** Events of one request; a sender with more sends several. */
export const MAX_EVENTS_PER_REQUEST = 1_000;

/** Arrays and objects inside each other; far more than any event needs, far less than exhausts a stack. */
const MAX_EVENT_LEVELS = 64;

export interface RefusedEvent {
  /** Place in the request, from 0. */
  index: number;
  reason: Refusal;
  detail: string;
}

export type Intake = { outcome: 'taken'; accepted: number; refused: RefusedEvent[] } | { outcome: NotTaken };

/** Events that senders post → `executions.v1`; those that cannot be read → the dead-letter topic. */
export class EventIntake {
  constructor(
    private readonly log: EventLog,
    private readonly observer: Pick<IngestObserver, 'eventsReceived' | 'appendFailed'>,
  ) {}

  /** Resolves when every accepted event is durable. At most {@link MAX_EVENTS_PER_REQUEST}. */
  async take(events: unknown[]): Promise<Intake> {
    const accepted: NewRecord[] = [];
    const refused: RefusedEvent[] = [];
    const deadLetters: NewRecord[] = [];
    for (const [index, value] of events.entries()) {
      const { text, parsed } = checked(value);
      if (parsed.ok) {
        accepted.push({ key: parsed.event.subject, value: text });
      } else {
        refused.push({ index, reason: parsed.reason, detail: parsed.detail });
        deadLetters.push(refusedRecord(text, parsed));
      }
    }
    const failure = await appendReceived(this.log, { accepted, deadLetters }, (error) =>
      this.observer.appendFailed(error),
    );
    if (failure !== undefined) {
      this.observer.eventsReceived(failure, events.length);
      return { outcome: failure };
    }
    this.report(accepted.length, refused);
    return { outcome: 'taken', accepted: accepted.length, refused };
  }

  private report(accepted: number, refused: RefusedEvent[]): void {
    if (accepted > 0) this.observer.eventsReceived('accepted', accepted);
    for (const [reason, events] of Map.groupBy(refused, (event) => event.reason)) {
      this.observer.eventsReceived(reason, events.length);
    }
  }
}

function checked(value: unknown): { text: string; parsed: ParsedEvent } {
  if (isDeeperThan(value, MAX_EVENT_LEVELS)) {
    const detail = `at most ${MAX_EVENT_LEVELS} levels of arrays and objects, got more`;
    const text = JSON.stringify(cutBelow(value, MAX_EVENT_LEVELS));
    return { text, parsed: { ok: false, reason: 'invalid', detail } };
  }
  const text = JSON.stringify(value);
  return { text, parsed: isOversized(text) ? parseExecutionEvent(text) : checkExecutionEvent(value) };
}

function isOversized(text: string): boolean {
  return Buffer.byteLength(text) > MAX_EVENT_BYTES;
}

/** The sender has the whole event; the topic keeps enough of it to recognise it. */
function refusedRecord(text: string, { reason, detail }: { reason: Refusal; detail: string }): NewRecord {
  const value = text.slice(0, MAX_EVENT_BYTES);
  return deadLetterRecord({ key: reason, value, reason, detail, source: 'POST /v1/events' });
}
