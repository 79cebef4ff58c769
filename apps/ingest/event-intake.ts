import type { EventLog, NewRecord } from '#adapters/event-log';
import { cutBelow, isDeeperThan } from '#adapters/input-problems';
import {
  checkExecutionEvent,
  MAX_EVENT_BYTES,
  parseExecutionEvent,
  type ParsedEvent,
  type Refusal,
} from '#domain/events';
import { deadLetterRecord, type PayloadKeeping } from './dead-letter.js';
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
    private readonly keeping: PayloadKeeping,
    private readonly observer: Pick<IngestObserver, 'eventsReceived' | 'appendFailed'>,
  ) {}

  /** Resolves when every accepted event is durable. At most {@link MAX_EVENTS_PER_REQUEST}. */
  async take(events: unknown[]): Promise<Intake> {
    const accepted: NewRecord[] = [];
    const refused: RefusedEvent[] = [];
    const deadLetters: NewRecord[] = [];
    for (const [index, value] of events.entries()) {
      const { text, parsed, isPart } = checked(value);
      if (parsed.ok) {
        accepted.push({ key: parsed.event.subject, value: text });
      } else {
        const { reason, detail } = parsed;
        refused.push({ index, reason, detail });
        const came = { key: '', value: text, isPart, headers: {}, about: {}, source: 'POST /v1/events' };
        deadLetters.push(deadLetterRecord({ ...came, reason, detail }, this.keeping));
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

/** `isPart`: the text is not all of the value. */
function checked(value: unknown): { text: string; parsed: ParsedEvent; isPart: boolean } {
  if (isDeeperThan(value, MAX_EVENT_LEVELS)) {
    const detail = `at most ${MAX_EVENT_LEVELS} levels of arrays and objects, got more`;
    const text = JSON.stringify(cutBelow(value, MAX_EVENT_LEVELS));
    return { text, parsed: { ok: false, reason: 'invalid', detail }, isPart: true };
  }
  const text = JSON.stringify(value);
  const parsed = isOversized(text) ? parseExecutionEvent(text) : checkExecutionEvent(value);
  return { text, parsed, isPart: false };
}

function isOversized(text: string): boolean {
  return Buffer.byteLength(text) > MAX_EVENT_BYTES;
}
