import { Client } from 'pg';
import { TOPICS, topicSpecs, type EventLog, type KafkaSettings } from '#adapters/event-log';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import type { ApiClient } from './api-client.js';
import { DEADLINE_MS, eventually } from './headroom-process.js';

/** Who reads between an acknowledged event and the table that the API answers from. */
const READERS = ['ingest', 'demand-table'];

/**
 * Resolves when every event that was acknowledged before the call is in the demand table. Of a program that has all
 * targets and the embedded event log: there one look at /metrics has both readers, and what they read, at one moment.
 */
export async function demandSettled(api: ApiClient): Promise<void> {
  await eventually('all events in the demand table', async () => {
    const samples = [...(await api.metrics())];
    const lagsOf = (reader: string) =>
      samples.filter(([name]) => name.startsWith(`headroom_consumer_lag_records{group="${reader}",`));
    const isThrough = (reader: string) =>
      lagsOf(reader).length > 0 && lagsOf(reader).every(([, records]) => records === 0);
    return READERS.every(isThrough) || undefined;
  });
}

/**
 * The same of processes that share servers, none of which sees all of it: every event is counted once its group has
 * nothing left to read, and all of that demand is in the table once the topic has nothing behind the table's offsets.
 */
export async function demandSettledOn(servers: {
  eventLog: KafkaSettings;
  /** postgres://… */
  database: string;
}): Promise<void> {
  const log = await KafkaEventLog.open(servers.eventLog, { note: () => undefined });
  const client = new Client(servers.database);
  try {
    await Promise.all([
      log.ensureTopics(topicSpecs({ partitions: 4, dedupeWindowS: 300 })),
      client.connect(),
    ]);
    const counted = async () =>
      (await log.lag({ group: 'ingest', topic: TOPICS.executions })).records === 0 || undefined;
    await eventually('all events counted', counted, 3 * DEADLINE_MS);
    const included = async () => (await isIncluded(log, client)) || undefined;
    await eventually('all demand in the table', included, 3 * DEADLINE_MS);
  } finally {
    await Promise.all([log.close(), client.end()]);
  }
}

async function isIncluded(log: EventLog, client: Client): Promise<boolean> {
  const topic = TOPICS.demand;
  const { rows } = await client.query<{ partition: number; next_offset: string }>(
    'select partition, next_offset from projection_offsets where projection = $1 and topic = $2',
    ['demand', topic],
  );
  const standing = new Map(rows.map((row) => [row.partition, Number(row.next_offset)]));
  for (let partition = 0; partition < log.partitions(topic); partition++) {
    const offset = standing.get(partition) ?? 0;
    if ((await log.read({ topic, partition, offset, maxRecords: 1 })).length > 0) return false;
  }
  return true;
}
