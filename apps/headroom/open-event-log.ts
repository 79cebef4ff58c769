import { EmbeddedEventLog, KafkaEventLog, topicSpecs, type EventLog } from '#adapters/event-log';
import { LimitedNotes } from '#adapters/notes';
import type { EmbeddedPostgres } from '#adapters/store';
import type { Logger } from '#adapters/telemetry';
import type { Config } from './config.js';

interface Given {
  config: Pick<Config, 'eventLog' | 'ingest'>;
  /** Of the data directory; the embedded log lives in it. */
  engine: EmbeddedPostgres | undefined;
  logger: Logger;
}

/**
 * The event log of the configuration, with its topics. Throws TopicMismatch, LogUnreachable, LogForbidden and
 * UnreadableSecret with nothing left open.
 */
export async function openEventLog(given: Given): Promise<EventLog> {
  const log = await openLog(given);
  try {
    await log.ensureTopics(topicSpecs(given.config.ingest));
    return log;
  } catch (error) {
    await log.close();
    throw error;
  }
}

function openLog({ config: { eventLog }, engine, logger }: Given): Promise<EventLog> {
  if (eventLog.kind === 'embedded') return EmbeddedEventLog.open(engine as EmbeddedPostgres);
  const notes = new LimitedNotes(({ msg, ...about }) => logger.warn(about, msg));
  return KafkaEventLog.open(eventLog, {
    note: (err) => notes.note({ msg: 'the Kafka client has trouble', err }),
  });
}
