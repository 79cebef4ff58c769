import type { DataSource } from 'typeorm';
import { TOPICS, type EventLog } from '#adapters/event-log';

/** The tables were filled from another event log: one of another name, or one that holds what this one does not. */
export class StoreOfAnotherLog extends Error {
  override name = 'StoreOfAnotherLog';

  constructor(actual: string) {
    super(`store: must have been filled from this event log, ${actual}`);
  }
}

interface Place {
  topic: string;
  partition: number;
  next: number | string;
}

/** Places in topics that the tables were filled from. Demand messages name those of the executions that they count. */
const PLACES = `
  select topic, partition, max(next_offset) as next from projection_offsets group by topic, partition
  union all
  select '${TOPICS.executions}', partition, max(next_offset) from demand_chains group by partition`;

const KEEP_IDENTITY = `
  with others as (delete from event_logs where identity <> $1)
  insert into event_logs values ($1) on conflict do nothing`;

/**
 * Tables that go on with another log would take its first records for those they have seen, and leave them out without
 * a word. Throws {@link StoreOfAnotherLog}; otherwise the tables belong to this log from now on.
 */
export async function checkStoreFollowsLog(dataSource: DataSource, log: EventLog): Promise<void> {
  const places = await dataSource.query<Place[]>(PLACES);
  const kept = await dataSource.query<{ identity: string }[]>('select identity from event_logs');
  const identity = await log.identity();
  const other = kept.find((row) => row.identity !== identity);
  if (other !== undefined && places.length > 0)
    throw new StoreOfAnotherLog(`${identity}, got tables of ${other.identity}`);
  await checkEnds(places, log);
  await dataSource.query(KEEP_IDENTITY, [identity]);
}

/** A log of the right name may have been brought back from an older copy, and its topics made anew. */
async function checkEnds(places: readonly Place[], log: EventLog): Promise<void> {
  const known = new Set<string>(Object.values(TOPICS));
  for (const { topic, partition, next } of places) {
    if (!known.has(topic) || partition >= log.partitions(topic)) continue;
    const end = await log.endOffset({ topic, partition });
    if (Number(next) > end)
      throw new StoreOfAnotherLog(`includes ${topic}[${partition}] up to ${next} of ${end}`);
  }
}
