import type { RecordBatch } from '../event-log.js';
import type { RecordObserver } from './record-observer.js';

/**
 * What a batch carries, without tombstones. A record that is no JSON, or that `read` does not know, is reported and left
 * out: one bad record must not stop its partition for good.
 */
export function readable<T>(
  { topic, partition, records }: RecordBatch,
  read: (value: unknown) => T | undefined,
  observer: RecordObserver,
): T[] {
  return records.flatMap(({ value, offset }) => {
    if (value === null) return [];
    const known = read(parsed(value));
    if (known === undefined) observer.recordUnreadable({ topic, partition, offset });
    return known ?? [];
  });
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}
