import {
  TOPICS,
  type AtomicStep,
  type NewRecord,
  type RecordBatch,
  type StoredRecord,
} from '#adapters/event-log';
import type { Mapped, Mapping } from '#domain/mapping';
import { cameIn, deadLetterRecord, type PayloadKeeping } from './dead-letter.js';
import type { IngestObserver } from './ingest-observer.js';
import { deadLetterOf, eventsIn, mapReceived, NO_MAPPING, reportMapped } from './record-mapping.js';

/** A topic of somebody else's records. */
export interface MappedTopic {
  topic: string;
  /** Undefined: its records are execution events already. */
  mapping: Mapping | undefined;
}

/** Events of one step: a record may hold a thousand, and what a step writes must fit in one transaction. */
const MAX_STEP_EVENTS = 2_000;

/**
 * Records of a topic → execution events. What a record becomes and that it was read are one step of the log: each
 * record is mapped exactly once.
 */
export class TopicMapping {
  constructor(
    private readonly given: {
      source: MappedTopic;
      keeping: PayloadKeeping;
      observer: Pick<IngestObserver, 'recordsMapped'>;
    },
  ) {}

  async take(batch: RecordBatch, commit: (step: AtomicStep) => Promise<void>): Promise<void> {
    const step = new Step();
    for (const record of batch.records) {
      this.map(batch, record, step);
      if (step.mapped.length >= MAX_STEP_EVENTS) await this.finish(batch, step, commit);
    }
    if (step.nextOffset !== undefined) await this.finish(batch, step, commit);
  }

  private map({ topic, partition }: RecordBatch, record: StoredRecord, step: Step): void {
    step.nextOffset = record.offset + 1;
    const { source, keeping } = this.given;
    const { value, key, headers, offset, timestampMs: timeMs, isPart = false, unreadable } = record;
    if (value === null) return;
    const place = `${topic}[${partition}]@${offset}`;
    if (unreadable !== undefined) {
      step.unreadable++;
      const about = { topic, partition, offset, timeMs };
      const why = { reason: 'unreadable', detail: unreadable, source: place, mapping: source.mapping?.name };
      step.deadLetters.push(deadLetterRecord({ ...cameIn(record), about, ...why }, keeping));
      return;
    }
    const about = { topic, partition, offset, key, headers, timeMs };
    const received = { text: value, about, place, isPart };
    const mapped = mapReceived(received, source.mapping);
    step.mapped.push(...mapped);
    step.accepted.push(...eventsIn(mapped));
    step.deadLetters.push(...deadLetterOf(mapped, received, { mapping: source.mapping, keeping }));
  }

  private async finish(
    { topic, partition }: RecordBatch,
    step: Step,
    commit: (step: AtomicStep) => Promise<void>,
  ): Promise<void> {
    const { accepted, deadLetters, mapped, unreadable } = step;
    await commit({
      outputs: [
        { topic: TOPICS.executions, records: accepted },
        { topic: TOPICS.deadLetters, records: deadLetters },
      ].filter(({ records }) => records.length > 0),
      offsets: [{ topic, partition, offset: step.nextOffset as number }],
    });
    const { source, observer } = this.given;
    reportMapped(mapped, source.mapping, observer);
    if (unreadable > 0) observer.recordsMapped(source.mapping?.name ?? NO_MAPPING, 'unreadable', unreadable);
    step.clear();
  }
}

/** What records became that are not committed yet. */
class Step {
  accepted: NewRecord[] = [];
  deadLetters: NewRecord[] = [];
  mapped: Mapped[] = [];
  unreadable = 0;
  nextOffset: number | undefined;

  clear(): void {
    Object.assign(this, new Step());
  }
}
