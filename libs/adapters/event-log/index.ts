export { LogForbidden, LogOverloaded, LogUnreachable, TopicMismatch } from './event-log.js';
export type {
  AtomicStep,
  EventLog,
  Lag,
  LostRecords,
  Member,
  NewRecord,
  Position,
  ReadFrom,
  RecordBatch,
  StartOffset,
  StoredRecord,
  Subscription,
  TopicPartition,
  TopicSpec,
} from './event-log.js';
export { appendInPieces } from './append-in-pieces.js';
export { EmbeddedEventLog, type EmbeddedEventLogOptions } from './embedded/embedded-event-log.js';
// Kafka's own clients are loaded only where it is used: #adapters/event-log/kafka.
export { UnreadableSecret } from './kafka/unreadable-secret.js';
export type { KafkaSettings } from './kafka/kafka-settings.js';
export { LOG_TABLE_NAMES } from './embedded/log-tables.js';
export { EventLogServer, type LogPattern, type LogServerObserver } from './transport/event-log-server.js';
export { LogContext } from './transport/log-context.js';
export { readable } from './transport/readable.js';
export { RecordObserver } from './transport/record-observer.js';
export { HandlerErrors } from './transport/handler-errors.filter.js';
export { inTime } from './in-time.js';
export { TOPICS, topicSpecs } from './topics.js';
