import { afterAll, beforeAll } from '@jest/globals';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import { kafkaSettingsSchema } from '#adapters/event-log/kafka-settings';
import { startKafka, type Kafka } from '#parts/kafka';
import { deadLettersContract } from './dead-letters.contract.js';

let broker: Kafka;
let started = 0;

beforeAll(async () => {
  broker = await startKafka();
}, 120_000);
afterAll(() => broker.stop());

deadLettersContract('Kafka', () =>
  KafkaEventLog.open(
    kafkaSettingsSchema.parse({
      kind: 'kafka',
      brokers: [broker.bootstrap],
      prefix: `letters-${started++}.`,
      replicationFactor: 1,
    }),
  ),
);
