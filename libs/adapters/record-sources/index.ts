export type {
  RecordSource,
  RecordSourceObserver,
  RecordSourceOptions,
  SourceRecord,
} from './record-source.js';
export { RabbitMqSource, type RabbitMqSourceOptions } from './rabbitmq/rabbitmq-source.js';
export { RedisStreamSource, type RedisStreamSourceOptions } from './redis-streams/redis-stream-source.js';
