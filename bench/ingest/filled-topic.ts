import { Producer, stringSerializers } from '@platformatic/kafka';
import kafkajs, { type Admin } from 'kafkajs';
import type { KafkaEventLog } from '#adapters/event-log/kafka';
import { progress } from '../report.js';
import { EventMaker, PARTITIONS, RATE_PER_S, TOPIC } from './setting.js';

const RECORDS_PER_SEND = 12_000;
const ALL_COPIES = -1;
const FILL_SEED = 1;
const GROUP = 'ingest';
const MAX_BATCH_BYTES = 1_200_000;

/** Retention would take away at once what is dated an hour ago. */
const CONFIG = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'compression.type': 'uncompressed',
  'max.message.bytes': String(MAX_BATCH_BYTES),
};
const TIMES = 'message.timestamp.type';

interface Message {
  topic: string;
  partition: number;
  key: string;
  value: string;
  timestamp: bigint;
}

/** The topic of events as an hour without ingest leaves it: dated as if they had come at their rate until just now. */
export async function makeFilledTopic(
  { brokers, log }: { brokers: string; log: () => Promise<KafkaEventLog> },
  events: number,
): Promise<void> {
  const admin = new kafkajs.Kafka({ brokers: [brokers], logLevel: 0 }).admin();
  await admin.connect();
  try {
    // While it is filled, records keep the time that they are given.
    const configEntries = configWith('CreateTime');
    const made = { topic: TOPIC, numPartitions: PARTITIONS, replicationFactor: 1, configEntries };
    await admin.createTopics({ topics: [made], waitForLeaders: true });
    await fill(brokers, events);
    await alter(admin, 'LogAppendTime');
    const opened = await log();
    await opened.close();
  } finally {
    await admin.disconnect();
  }
}

async function fill(brokers: string, events: number): Promise<void> {
  const producer = new Producer<string, string, string, string>({
    clientId: 'bench-fill',
    bootstrapBrokers: [brokers],
    serializers: stringSerializers,
    idempotent: true,
    autocreateTopics: false,
  });
  const maker = new EventMaker(FILL_SEED);
  const startMs = Date.now() - (events / RATE_PER_S) * 1000;
  let made = 0;
  let sending: Promise<unknown> = Promise.resolve();
  while (made < events) {
    const messages: Message[] = [];
    while (messages.length < RECORDS_PER_SEND && made + messages.length < events) {
      const atMs = startMs + ((made + messages.length) / RATE_PER_S) * 1000;
      const timestamp = BigInt(Math.floor(atMs));
      for (const { key, value } of maker.next(atMs))
        messages.push({ topic: TOPIC, key, value, partition: partitionOf(key), timestamp });
    }
    await sending;
    sending = producer.send({ messages, acks: ALL_COPIES });
    const millions = Math.floor((made += messages.length) / 1e6);
    if (millions > Math.floor((made - messages.length) / 1e6)) progress(`filled: ${millions} M events`);
  }
  await sending;
  await producer.close();
}

/** The events of an execution lie in one partition; which, nobody asks here. */
function partitionOf(key: string): number {
  return Number.parseInt(key.slice(0, 8), 16) % PARTITIONS;
}

async function alter(admin: Admin, timestamps: string): Promise<void> {
  const topic = {
    type: kafkajs.ConfigResourceTypes.TOPIC,
    name: TOPIC,
    configEntries: configWith(timestamps),
  };
  await admin.alterConfigs({ validateOnly: false, resources: [topic] });
}

function configWith(timestamps: string): { name: string; value: string }[] {
  return Object.entries({ ...CONFIG, [TIMES]: timestamps }).map(([name, value]) => ({ name, value }));
}

/** Takes away what an ingest has left, the events excepted: the next one begins where this one did. */
export async function forgetIngest(brokers: string): Promise<void> {
  const admin = new kafkajs.Kafka({ brokers: [brokers], logLevel: 0 }).admin();
  await admin.connect();
  try {
    const topics = (await admin.listTopics()).filter((name) => name.endsWith('.v1') && name !== TOPIC);
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const { groups } = await admin.listGroups();
    if (groups.some(({ groupId }) => groupId === GROUP)) await admin.deleteGroups([GROUP]);
  } finally {
    await admin.disconnect();
  }
}
