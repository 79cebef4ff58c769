import type { NewRecord } from '#adapters/event-log';
import type { Mapped, Mapping } from '#domain/mapping';
import { deadLetterRecord } from './dead-letter.js';
import type { IngestObserver } from './ingest-observer.js';

/** Text of a record that its dead letter keeps; the sender has the rest. */
const MAX_LETTER_CHARS = 16_384;

/** The execution events in what a record was mapped to; an event's key is its execution. */
export function eventsIn(mapped: readonly Mapped[]): NewRecord[] {
  return mapped.flatMap((one) =>
    one.outcome === 'mapped' ? [{ key: one.event.subject, value: JSON.stringify(one.event) }] : [],
  );
}

/** One dead letter for a record, however many of its elements are refused. None: nothing is. */
export function deadLetterOf(
  mapped: readonly Mapped[],
  given: { text: string; mapping: Mapping; source: string },
): NewRecord[] {
  const refused = mapped.flatMap((one, element) => (one.outcome === 'refused' ? [{ ...one, element }] : []));
  const [first] = refused;
  if (first === undefined) return [];
  const { text, mapping, source } = given;
  const others = refused.length === 1 ? '' : `, and ${refused.length - 1} more of its elements`;
  const where = mapped.length === 1 ? '' : `[${first.element}] `;
  return [
    deadLetterRecord({
      key: first.reason,
      value: text.slice(0, MAX_LETTER_CHARS),
      reason: first.reason,
      detail: `${where}${first.detail}${others}`,
      source,
      mapping: mapping.name,
    }),
  ];
}

/** Counts what became of records, once it is durable. */
export function reportMapped(
  mapped: readonly Mapped[],
  mapping: Mapping,
  observer: Pick<IngestObserver, 'recordsMapped'>,
): void {
  const outcomes = Map.groupBy(mapped, (one) => (one.outcome === 'refused' ? one.reason : one.outcome));
  for (const [outcome, records] of outcomes) observer.recordsMapped(mapping.name, outcome, records.length);
}
