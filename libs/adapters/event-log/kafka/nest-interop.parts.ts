import { Controller, Module, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientKafka,
  Ctx,
  EventPattern,
  type KafkaContext,
  Payload,
  Transport,
  type MicroserviceOptions,
} from '@nestjs/microservices';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { lastValueFrom } from 'rxjs';
import { startKafka, type Kafka } from '#parts/kafka';
import { KafkaEventLog } from './kafka-event-log.js';
import { kafkaSettingsSchema } from './kafka-settings.js';

jest.setTimeout(60_000);

const TOPIC = { partitions: 2, retentionMs: 3_600_000, compacted: false };
const ANSWERS = 'answers.v1';
const heard: { value: unknown; key: string; trace: string; partition: number }[] = [];
let changed: () => void = () => undefined;

@Controller()
class AnswersConsumer {
  @EventPattern(ANSWERS)
  take(@Payload() value: unknown, @Ctx() context: unknown): void {
    const { key, headers } = (context as KafkaContext).getMessage();
    heard.push({
      value,
      key: String(key),
      trace: String(headers?.['traceparent']),
      partition: (context as KafkaContext).getPartition(),
    });
    changed();
  }
}

@Module({ controllers: [AnswersConsumer] })
class AnswersModule {}

let broker: Kafka;
let log: KafkaEventLog;
let service: INestMicroservice;

beforeAll(async () => {
  broker = await startKafka();
  const settings = { kind: 'kafka', brokers: [broker.bootstrap], replicationFactor: 1 };
  log = await KafkaEventLog.open(kafkaSettingsSchema.parse(settings));
  await log.ensureTopics([
    { ...TOPIC, name: 'executions.v1' },
    { ...TOPIC, name: ANSWERS },
  ]);
  service = await NestFactory.createMicroservice<MicroserviceOptions>(AnswersModule, {
    transport: Transport.KAFKA,
    logger: false,
    options: {
      client: { brokers: [broker.bootstrap], logLevel: 0 },
      consumer: { groupId: 'somebody' },
      subscribe: { fromBeginning: true },
    },
  });
}, 120_000);
afterAll(async () => {
  await service.close();
  await log.close();
  await broker.stop();
});

async function heardOf(count: number): Promise<void> {
  while (heard.length < count) {
    const more = Promise.withResolvers<void>();
    changed = more.resolve;
    if (heard.length < count) await more.promise;
  }
}

test('a plain NestJS service consumes what is appended, and what is committed', async () => {
  await service.listen();
  await log.append(ANSWERS, [
    { key: 'a', value: JSON.stringify({ n: 1 }), headers: { traceparent: '00-1' } },
  ]);
  await heardOf(1);
  const partition = log.partitionOf({ topic: ANSWERS, key: 'a' });
  expect(heard).toEqual([{ value: { n: 1 }, key: 'a', trace: '00-1', partition }]);
  const member = await log.subscribe({
    group: 'ours',
    topics: ['executions.v1'],
    commits: true,
    onBatch: async () => undefined,
  });
  await member.commit({
    outputs: [{ topic: ANSWERS, records: [{ key: 'a', value: JSON.stringify({ n: 2 }) }] }],
    offsets: [{ topic: 'executions.v1', partition: 0, offset: 0 }],
  });
  await heardOf(2);
  expect(heard[1]).toMatchObject({ value: { n: 2 }, key: 'a', partition });
});

test('what a plain NestJS service publishes is read here: key, headers, and the partition of the key', async () => {
  const client = new ClientKafka({ client: { brokers: [broker.bootstrap], logLevel: 0 } });
  await client.connect();
  const event = { id: 'e1', pool: 'web' };
  await lastValueFrom(
    client.emit('executions.v1', { key: 'execution-1', value: event, headers: { traceparent: '00-2' } }),
  );
  await client.close();
  const partition = log.partitionOf({ topic: 'executions.v1', key: 'execution-1' });
  const [record] = await log.read({ topic: 'executions.v1', partition, offset: 0, maxRecords: 9 });
  expect(record).toMatchObject({ key: 'execution-1', headers: { traceparent: '00-2' } });
  expect(JSON.parse(record?.value as string)).toEqual(event);
});
