import type { EventLog, NewRecord } from '#adapters/event-log';
import { cutBelow, isDeeperThan } from '#adapters/input-problems';
import { mapRecord, type Mapped, type Mapping } from '#domain/mapping';
import type { PayloadKeeping } from './dead-letter.js';
import { appendReceived, type NotTaken } from './event-append.js';
import type { IngestObserver } from './ingest-observer.js';
import { deadLetterOf, eventsIn, reportMapped } from './record-mapping.js';

/** Records of one request, and events of all of them together; a sender with more sends several. */
export const MAX_RECORDS_PER_REQUEST = 1_000;

/** JSON.stringify calls itself for every level; a record of more is kept in part when it is refused. */
const MAX_LETTER_LEVELS = 64;

export type WebhookIntakeOutcome =
  /** What became of each record, or of each of its elements. */
  { outcome: 'taken'; mapped: Mapped[][] } | { outcome: NotTaken | 'unknown_mapping' | 'too_many_events' };

/** Records that other platforms post → execution events → `executions.v1`; those refused → the dead-letter topic. */
export class WebhookIntake {
  constructor(
    private readonly log: EventLog,
    private readonly mappings: ReadonlyMap<string, Mapping>,
    private readonly keeping: PayloadKeeping,
    private readonly observer: Pick<IngestObserver, 'recordsMapped' | 'appendFailed'>,
  ) {}

  /** Resolves when every event is durable. At most {@link MAX_RECORDS_PER_REQUEST}. */
  async take(name: string, records: readonly unknown[]): Promise<WebhookIntakeOutcome> {
    const mapping = this.mappings.get(name);
    if (mapping === undefined) return { outcome: 'unknown_mapping' };
    const mapped: Mapped[][] = [];
    let events = 0;
    for (const record of records) {
      const own = mapRecord(record, mapping);
      events += own.length;
      if (events > MAX_RECORDS_PER_REQUEST) return { outcome: 'too_many_events' };
      mapped.push(own);
    }
    const deadLetters = mapped.flatMap((own, i) =>
      own.some(({ outcome }) => outcome === 'refused') ? this.deadLetterOf(records[i], own, mapping) : [],
    );
    const received = { accepted: mapped.flatMap(eventsIn), deadLetters };
    const failure = await appendReceived(this.log, received, (error) => this.observer.appendFailed(error));
    if (failure !== undefined) {
      this.observer.recordsMapped(name, failure, events);
      return { outcome: failure };
    }
    reportMapped(mapped.flat(), mapping, this.observer);
    return { outcome: 'taken', mapped };
  }

  private deadLetterOf(record: unknown, mapped: Mapped[], mapping: Mapping): NewRecord[] {
    const isPart = isDeeperThan(record, MAX_LETTER_LEVELS);
    const text = JSON.stringify(isPart ? cutBelow(record, MAX_LETTER_LEVELS) : record);
    const received = { text, about: {}, place: `POST /v1/webhooks/${mapping.name}`, isPart };
    return deadLetterOf(mapped, received, { mapping, keeping: this.keeping });
  }
}
