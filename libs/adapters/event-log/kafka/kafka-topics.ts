import { setTimeout as delay } from 'node:timers/promises';
import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { TopicMismatch, type TopicSpec } from '../event-log.js';
import { inTime } from '../in-time.js';
import { disconnected } from './cluster.js';
import { explained, kafkaTypeOf, NoAnswer } from './kafka-errors.js';
import type { KafkaSettings } from './kafka-settings.js';

/** Largest record, as `sizeOf` counts: a megabyte of key and value, and some for the rest. */
export const MAX_RECORD_BYTES = 1024 * 1024 + 1024;
/** Of topics that are made here: a batch with the largest record. */
const MAX_BATCH_BYTES = MAX_RECORD_BYTES + 64 * 1024;
/** A broker that makes or describes topics does so by then. */
const TOPICS_WITHIN_MS = 30_000;
/** Between two questions for topics that another process is making. */
const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 500;
/** What a broker says that has not heard of a topic, or of its leaders, yet. */
const ON_THEIR_WAY = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']);
const ASKED = [
  'cleanup.policy',
  'retention.ms',
  'retention.bytes',
  'max.message.bytes',
  'message.timestamp.type',
  'min.insync.replicas',
  'compression.type',
] as const;
/** Copies that have a record before it is acknowledged, as far as a topic has so many. */
const ACKNOWLEDGED_COPIES = 2;
/** What is read here, of a topic's `compression.type`. */
const READABLE: readonly string[] = ['uncompressed', 'gzip', 'zstd'];
/** Stored as it was sent: readable where nobody else sends. */
const AS_SENT = 'producer';

/** What Kafka says of a topic. */
export interface KafkaTopic {
  partitions: number;
  /** Largest batch it takes. */
  maxBatchBytes: number;
}

interface Given extends Pick<KafkaSettings, 'replicationFactor' | 'compression'> {
  specs: TopicSpec[];
}

type TopicConfig = Record<(typeof ASKED)[number], string>;

/** Makes what is missing and checks what is there; throws {@link TopicMismatch}, or as `explained`. */
export async function ensureKafkaTopics(kafka: Kafka, given: Given): Promise<Map<string, KafkaTopic>> {
  const admin = kafka.admin();
  const connectAndEnsure = () => admin.connect().then(() => ensured(admin, given));
  try {
    return await inTime(connectAndEnsure(), TOPICS_WITHIN_MS, () => new NoAnswer(TOPICS_WITHIN_MS));
  } catch (error) {
    if (error instanceof TopicMismatch) throw error;
    throw explained(error, `making sure of topics ${given.specs.map(({ name }) => name).join(', ')}`);
  } finally {
    await disconnected(admin);
  }
}

async function ensured(
  admin: Admin,
  { specs, replicationFactor, compression }: Given,
): Promise<Map<string, KafkaTopic>> {
  const topics = specs.map(({ name }) => name);
  const { described, configs } = await onceThere(async () => {
    const existing = new Set(await admin.listTopics());
    const missing = specs.filter(({ name }) => !existing.has(name));
    const made = missing.map((spec) => creation(spec, { copies: replicationFactor, compression }));
    if (made.length > 0) await admin.createTopics({ topics: made, waitForLeaders: true });
    const { topics: described } = await admin.fetchTopicMetadata({ topics });
    return { described, configs: await configsOf(admin, topics) };
  });
  const found = specs.map((spec) => {
    const partitions = described.find(({ name }) => name === spec.name)?.partitions ?? [];
    const config = configs.get(spec.name) as TopicConfig;
    const copies = Math.min(...partitions.map(({ replicas }) => replicas.length));
    return { spec, partitions: partitions.length, config, copies };
  });
  refuse(found.flatMap((topic) => [...mismatches(topic.spec, { ...topic, compression })]));
  return new Map(
    found.map(({ spec, partitions, config }) => [
      spec.name,
      { partitions, maxBatchBytes: Number(config['max.message.bytes']) },
    ]),
  );
}

/** Of several processes that start together one makes the topics; its brokers tell the others a moment later. */
async function onceThere<T>(ask: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + TOPICS_WITHIN_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    try {
      return await ask();
    } catch (error) {
      if (!ON_THEIR_WAY.has(kafkaTypeOf(error) ?? '') || performance.now() > deadlineMs) throw error;
    }
    await delay(pauseMs);
  }
}

/** All of them at once: each is a command for somebody to run before the next start. */
function refuse(found: TopicMismatch[]): void {
  if (found.length === 0) return;
  const hints = new Set(found.map(({ hint }) => hint));
  throw new TopicMismatch(found.map(({ message }) => message).join('; '), [...hints].join('; '));
}

/** What the topic needs depends on how often it is there. */
interface Circumstances extends Pick<KafkaSettings, 'compression'> {
  copies: number;
}

function creation(spec: TopicSpec, given: Circumstances) {
  const needed = settingsOf(spec, given).map(({ setting, wanted }) => ({ name: setting, value: wanted }));
  const configEntries = [...needed, { name: 'max.message.bytes', value: String(MAX_BATCH_BYTES) }];
  const { partitions: numPartitions } = spec;
  return { topic: spec.name, numPartitions, replicationFactor: given.copies, configEntries };
}

async function configsOf(admin: Admin, topics: string[]): Promise<Map<string, TopicConfig>> {
  const resources = topics.map((name) => ({
    type: kafkajs.ConfigResourceTypes.TOPIC,
    name,
    configNames: [...ASKED],
  }));
  const described = await admin.describeConfigs({ resources, includeSynonyms: false });
  return new Map(
    described.resources.map(({ resourceName, configEntries }) => {
      const entries = configEntries.map(({ configName, configValue }) => [configName, configValue]);
      return [resourceName, Object.fromEntries(entries) as TopicConfig];
    }),
  );
}

const PARTITIONS_HINT =
  'set ingest.partitions to what executions.v1 has, and give the others as many by kafka-topics --alter --partitions, or let Headroom make new topics under another eventLog.prefix';

/** Somebody has added partitions since the program started. */
export function morePartitions(topic: string, expected: number, got: number): TopicMismatch {
  const rule = `must have the ${expected} partitions it had at the start`;
  return new TopicMismatch(`event log topic ${topic}: ${rule}, got ${got}`, PARTITIONS_HINT);
}

/** How a topic is not as it must be. */
function* mismatches(
  spec: TopicSpec,
  { partitions, config, ...given }: Circumstances & { partitions: number; config: TopicConfig },
): Generator<TopicMismatch> {
  const mismatch = (rule: string, got: string | number, hint: string) =>
    new TopicMismatch(`event log topic ${spec.name}: ${rule}, got ${got}`, hint);
  if (partitions !== spec.partitions && !(spec.morePartitions && partitions > spec.partitions))
    yield mismatch(`must have ${spec.partitions} partitions`, partitions, PARTITIONS_HINT);
  for (const { setting, wanted, isMet, why } of settingsOf(spec, given)) {
    const got = config[setting];
    const hint = `kafka-configs --alter --topic ${spec.name} --add-config ${setting}=${wanted}`;
    if (!isMet(got)) yield mismatch(`${setting} must be ${why}`, got, hint);
  }
}

interface NeededSetting {
  setting: (typeof ASKED)[number];
  wanted: string;
  isMet(got: string): boolean;
  why: string;
}

/** What a topic needs, and how it is made. */
export function settingsOf(
  { compacted, retentionMs, isOpen }: TopicSpec,
  { copies, compression }: Circumstances,
): NeededSetting[] {
  const exactly = (setting: NeededSetting['setting'], wanted: string, why = wanted): NeededSetting => ({
    setting,
    wanted,
    isMet: (got) => got === wanted,
    why,
  });
  const arrival = 'LogAppendTime, because records are judged by when they arrived';
  const acknowledged = Math.min(ACKNOWLEDGED_COPIES, copies);
  return [
    exactly('cleanup.policy', compacted ? 'compact' : 'delete'),
    ...(compacted ? [] : [retention(retentionMs), UNLIMITED]),
    exactly('message.timestamp.type', 'LogAppendTime', arrival),
    {
      setting: 'min.insync.replicas',
      wanted: String(acknowledged),
      isMet: (got) => Number(got) >= acknowledged,
      why: `at least ${acknowledged}, so that the loss of one copy loses nothing that was acknowledged`,
    },
    readable(compression, isOpen === true ? READABLE : [...READABLE, AS_SENT]),
  ];
}

function retention(retentionMs: number): NeededSetting {
  return {
    setting: 'retention.ms',
    wanted: String(retentionMs),
    isMet: (got) => Number(got) < 0 || Number(got) >= retentionMs,
    why: `at least ${retentionMs}`,
  };
}

/** A limit in bytes would cut short what the time promises. */
const UNLIMITED: NeededSetting = {
  setting: 'retention.bytes',
  wanted: '-1',
  isMet: (got) => Number(got) < 0,
  why: '-1, because records are kept by time',
};

/** Brokers then pack anew what comes packed otherwise, and measure it as it is stored. */
function readable(compression: KafkaSettings['compression'], allowed: readonly string[]): NeededSetting {
  return {
    setting: 'compression.type',
    wanted: compression === 'none' ? 'uncompressed' : compression,
    isMet: (got) => allowed.includes(got),
    why: `one of ${allowed.join(', ')}, because nothing else can be read`,
  };
}
