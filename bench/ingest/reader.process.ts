// Reads the topic from its beginning, in a process of its own, and says after how many events what time it was.
// Arguments: host:port of the broker, what it does with the events, and how many.
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import kafkajs from 'kafkajs';
import { Transport, type MicroserviceOptions } from '@nestjs/microservices';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import { HandledController } from './handled.controller.js';
import { HandledModule } from './handled.module.js';
import type { Reader, Sighting } from './measured-run.js';
import { kafkaSettings, PARTITIONS, TOPIC } from './setting.js';

const LOOK_EVERY_MS = 100;
/** As much as our own client asks for of a partition. */
const FETCHED_BYTES = 2 * 1024 * 1024;

const [, , brokers, reader, eventsText] = process.argv as [string, string, string, Reader, string];
const wanted = Number(eventsText);

/** Starts to read, and returns how many events it has read. */
const READERS: Record<Reader, () => Promise<() => number>> = {
  discard: () => ofOurClient(() => undefined),
  parse: () => ofOurClient((text) => JSON.parse(text) as unknown),
  kafkajs: async () => {
    const consumer = new kafkajs.Kafka({ brokers: [brokers], logLevel: 0 }).consumer({
      groupId: randomUUID(),
      maxBytesPerPartition: FETCHED_BYTES,
    });
    let events = 0;
    await consumer.connect();
    await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
    await consumer.run({
      eachBatch: async ({ batch: { messages } }) => {
        for (const { value } of messages) JSON.parse((value as Buffer).toString());
        events += messages.length;
      },
    });
    return () => events;
  },
  nest: async () => {
    const service = await NestFactory.createMicroservice<MicroserviceOptions>(HandledModule, {
      transport: Transport.KAFKA,
      logger: ['error'],
      options: {
        client: { brokers: [brokers], logLevel: 0 },
        consumer: { groupId: randomUUID() },
        subscribe: { fromBeginning: true },
      },
    });
    await service.listen();
    return () => HandledController.events;
  },
};

async function ofOurClient(take: (text: string) => unknown): Promise<() => number> {
  const log = await KafkaEventLog.open(kafkaSettings(brokers));
  await log.ensureTopics([{ name: TOPIC, partitions: PARTITIONS, retentionMs: 1000, compacted: false }]);
  let events = 0;
  await log.subscribe({
    group: randomUUID(),
    topics: [TOPIC],
    onBatch: async ({ records }) => {
      if (reader === 'parse') for (const { value } of records) take(value as string);
      events += records.length;
    },
    onFailed: (error) => {
      throw error;
    },
  });
  return () => events;
}

const eventsRead = await READERS[reader]();
const sightings: Sighting[] = [];
do {
  await delay(LOOK_EVERY_MS);
  const { user, system } = process.cpuUsage();
  sightings.push({
    events: eventsRead(),
    atMs: performance.now(),
    cpuS: (user + system) / 1e6,
    rssMb: process.memoryUsage.rss() / 2 ** 20,
  });
} while (eventsRead() < wanted);
process.send?.(sightings, () => process.exit());
