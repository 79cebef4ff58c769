import { EmbeddedEventLog, topicSpecs, type EventLog } from '#adapters/event-log';
import type { LoopObserver } from '#adapters/loop';
import { LimitedNotes } from '#adapters/notes';
import type { EmbeddedPostgres } from '#adapters/store';
import type { Logger } from '#adapters/telemetry';
import type { Config } from './config.js';

interface Given {
  config: Pick<Config, 'eventLog' | 'ingest'>;
  /** Of the data directory; the embedded log lives in it. */
  engine: EmbeddedPostgres | undefined;
  logger: Logger;
  /** Of the housekeeping of an embedded log. */
  observer: LoopObserver;
  /** Between its rounds; default: a minute. */
  housekeepingMs?: number;
}

/**
 * The event log of the configuration, with its topics. Throws TopicMismatch, LogUnreachable, LogForbidden and
 * UnreadableSecret with nothing left open.
 */
export async function openEventLog(given: Given): Promise<EventLog> {
  const log = await openLog(given);
  try {
    const { ingest, eventLog } = given.config;
    // The embedded log drops nothing that is unread, however old it is.
    const executionsRetentionS = eventLog.kind === 'kafka' ? eventLog.executionsRetentionS : 0;
    await log.ensureTopics(topicSpecs({ ...ingest, executionsRetentionS }));
    return log;
  } catch (error) {
    await log.close();
    throw error;
  }
}

async function openLog(given: Given): Promise<EventLog> {
  const { eventLog } = given.config;
  if (eventLog.kind === 'embedded') return openEmbedded(given);
  const { KafkaEventLog } = await import('#adapters/event-log/kafka');
  const notes = new LimitedNotes(({ msg, ...about }) => given.logger.warn(about, msg));
  return KafkaEventLog.open(eventLog, {
    note: (err) => notes.note({ msg: 'the Kafka client has trouble', err }),
  });
}

function openEmbedded({ engine, observer, housekeepingMs }: Given): Promise<EventLog> {
  const period = housekeepingMs === undefined ? {} : { housekeepingMs };
  return EmbeddedEventLog.open(engine as EmbeddedPostgres, { observer, ...period });
}
