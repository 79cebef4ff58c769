import { TOPICS, type EventLog, type NewRecord } from '#adapters/event-log';
import type { SourceRecord } from '#adapters/record-sources';
import type { Mapping } from '#domain/mapping';
import type { PayloadKeeping } from './dead-letter.js';
import type { IngestObserver } from './ingest-observer.js';
import { deadLetterOf, eventsIn, mapReceived, reportMapped } from './record-mapping.js';

/** Events of one append: a batch of records may hold thousands. */
const MAX_APPEND_EVENTS = 1_000;

/**
 * Records of a source that keeps them until they are taken → `executions.v1`. When an append fails the same records come
 * again; what was written of them then counts once, because the same record becomes the same events.
 */
export class SourceIntake {
  constructor(
    private readonly given: {
      log: EventLog;
      mapping: Mapping | undefined;
      keeping: PayloadKeeping;
      observer: Pick<IngestObserver, 'recordsMapped'>;
    },
  ) {}

  /** Resolves when everything the records became is durable; rejects as the log does. */
  async take(records: readonly SourceRecord[]): Promise<void> {
    const { mapping, keeping, observer } = this.given;
    const outcomes = records.map((record) => ({ record, mapped: mapReceived(record, mapping) }));
    await this.append(
      TOPICS.executions,
      outcomes.flatMap(({ mapped }) => eventsIn(mapped)),
    );
    await this.append(
      TOPICS.deadLetters,
      outcomes.flatMap(({ mapped, record }) => deadLetterOf(mapped, record, { mapping, keeping })),
    );
    reportMapped(
      outcomes.flatMap(({ mapped }) => mapped),
      mapping,
      observer,
    );
  }

  private async append(topic: string, records: NewRecord[]): Promise<void> {
    for (let i = 0; i < records.length; i += MAX_APPEND_EVENTS)
      await this.given.log.append(topic, records.slice(i, i + MAX_APPEND_EVENTS));
  }
}
