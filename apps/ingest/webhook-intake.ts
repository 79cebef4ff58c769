import type { EventLog } from '#adapters/event-log';
import { cutBelow } from '#adapters/input-problems';
import { mapRecord, type Mapped, type Mapping } from '#domain/mapping';
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
    const place = `POST /v1/webhooks/${name}`;
    const deadLetters = mapped.flatMap((own, i) =>
      deadLetterOf(own, { text: JSON.stringify(cutBelow(records[i], MAX_LETTER_LEVELS)), mapping, place }),
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
}
