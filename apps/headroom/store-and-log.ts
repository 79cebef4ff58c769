import type { DataSource } from 'typeorm';
import { TOPICS, type EventLog } from '#adapters/event-log';

/** The tables include what the event log does not hold: it is another log than the one they were filled from. */
export class StoreAheadOfLog extends Error {
  override name = 'StoreAheadOfLog';
}

/** Places in topics that the tables were filled from. Demand messages name those of the executions that they count. */
const PLACES = `
  select topic, partition, max(next_offset) as next from projection_offsets group by topic, partition
  union all
  select '${TOPICS.executions}', partition, max(next_offset) from demand_chains group by partition`;

/**
 * Tables that go on with another log would take its first records for those they have seen, and leave them out without
 * a word. Throws {@link StoreAheadOfLog}.
 */
export async function checkStoreFollowsLog(dataSource: DataSource, log: EventLog): Promise<void> {
  const known = new Set<string>(Object.values(TOPICS));
  const places =
    await dataSource.query<{ topic: string; partition: number; next: number | string }[]>(PLACES);
  for (const { topic, partition, next } of places) {
    if (!known.has(topic) || partition >= log.partitions(topic)) continue;
    const end = await log.endOffset({ topic, partition });
    if (Number(next) > end)
      throw new StoreAheadOfLog(
        `store: must have been filled from this event log, includes ${topic}[${partition}] up to ${next} of ${end}`,
      );
  }
}
