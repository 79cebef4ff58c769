export type {
  AtomicStep,
  EventLog,
  Lag,
  Member,
  NewRecord,
  ReadFrom,
  RecordBatch,
  StartOffset,
  StoredRecord,
  Subscription,
  TopicPartition,
  TopicSpec,
} from './event-log.js';
