import type { NewRecord } from '#adapters/event-log';
import { parseEventRecord } from '#domain/events';
import { mapText, type About, type Mapped, type Mapping } from '#domain/mapping';
import { deadLetterRecord, type PayloadKeeping } from './dead-letter.js';
import type { IngestObserver } from './ingest-observer.js';

/** A record as a source hands it over. */
export interface ReceivedRecord {
  text: string;
  /** What the source knows about it: what `@` leads to in a mapping. */
  about: About & { headers?: Readonly<Record<string, string>> };
  /** Where it was, for its dead letter: `platform.jobs[2]@17`. */
  place: string;
}

/** How records that are execution events already are counted beside those of mappings. */
export const NO_MAPPING = 'none';

/** What becomes of a record, or of its elements; without a mapping it is an execution event itself. */
export function mapReceived({ text, about }: ReceivedRecord, mapping: Mapping | undefined): Mapped[] {
  if (mapping !== undefined) return mapText(text, mapping, about);
  const parsed = parseEventRecord(text, about.headers ?? {});
  if (parsed.ok) return [{ outcome: 'mapped', event: parsed.event }];
  return [{ outcome: 'refused', reason: parsed.reason, detail: parsed.detail }];
}

/** The execution events in what a record was mapped to; an event's key is its execution. */
export function eventsIn(mapped: readonly Mapped[]): NewRecord[] {
  return mapped.flatMap((one) =>
    one.outcome === 'mapped' ? [{ key: one.event.subject, value: JSON.stringify(one.event) }] : [],
  );
}

/**
 * One dead letter for a record, however many of its elements are refused. None: nothing is. `isPart`: the text is not all
 * of the record.
 */
export function deadLetterOf(
  mapped: readonly Mapped[],
  { text, about: { headers = {}, ...about }, place, isPart = false }: ReceivedRecord & { isPart?: boolean },
  { mapping, keeping }: { mapping: Mapping | undefined; keeping: PayloadKeeping },
): NewRecord[] {
  const refused = mapped.flatMap((one, element) => (one.outcome === 'refused' ? [{ ...one, element }] : []));
  const [first] = refused;
  if (first === undefined) return [];
  const { key } = about;
  const others = refused.length === 1 ? '' : `, and ${refused.length - 1} more of its elements`;
  const where = mapped.length === 1 ? '' : `[${first.element}] `;
  return [
    deadLetterRecord(
      {
        key: typeof key === 'string' ? key : '',
        value: text,
        isPart,
        headers,
        reason: first.reason,
        detail: `${where}${first.detail}${others}`,
        source: place,
        about,
        mapping: mapping?.name,
        elements:
          refused.length === mapped.length
            ? undefined
            : { refused: refused.map(({ element }) => element), of: mapped.length },
      },
      keeping,
    ),
  ];
}

/** Counts what became of records, once it is durable. */
export function reportMapped(
  mapped: readonly Mapped[],
  mapping: Mapping | undefined,
  observer: Pick<IngestObserver, 'recordsMapped'>,
): void {
  const outcomes = Map.groupBy(mapped, (one) => (one.outcome === 'refused' ? one.reason : one.outcome));
  for (const [outcome, records] of outcomes)
    observer.recordsMapped(mapping?.name ?? NO_MAPPING, outcome, records.length);
}
