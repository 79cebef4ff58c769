import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { TopicMismatch, type TopicSpec } from '../event-log.js';
import { inTime } from '../in-time.js';
import { disconnected } from './cluster.js';
import { explained, NoAnswer } from './kafka-errors.js';
import type { KafkaSettings } from './kafka-settings.js';

/** Largest record, as `sizeOf` counts: a megabyte of key and value, and some for the rest. */
export const MAX_RECORD_BYTES = 1024 * 1024 + 1024;
/** Of topics that are made here: a batch with the largest record. */
const MAX_BATCH_BYTES = MAX_RECORD_BYTES + 64 * 1024;
/** A broker that makes or describes topics does so by then. */
const TOPICS_WITHIN_MS = 30_000;
const ASKED = [
  'cleanup.policy',
  'retention.ms',
  'max.message.bytes',
  'message.timestamp.type',
  'min.insync.replicas',
  'compression.type',
] as const;
/** Copies that have a record before it is acknowledged, as far as a topic has so many. */
const ACKNOWLEDGED_COPIES = 2;
/** What is read here, of a topic's `compression.type`. */
const READABLE: readonly string[] = ['uncompressed', 'gzip', 'zstd'];

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
  const existing = new Set(await admin.listTopics());
  const missing = specs.filter(({ name }) => !existing.has(name));
  if (missing.length > 0) {
    const topics = missing.map((spec) => creation(spec, { copies: replicationFactor, compression }));
    await admin.createTopics({ topics, waitForLeaders: true });
  }
  const topics = specs.map(({ name }) => name);
  const { topics: described } = await admin.fetchTopicMetadata({ topics });
  const configs = await configsOf(admin, topics);
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

/** How a topic is not as it must be. */
function* mismatches(
  spec: TopicSpec,
  { partitions, config, ...given }: Circumstances & { partitions: number; config: TopicConfig },
): Generator<TopicMismatch> {
  const mismatch = (rule: string, got: string | number, hint: string) =>
    new TopicMismatch(`event log topic ${spec.name}: ${rule}, got ${got}`, hint);
  if (partitions !== spec.partitions && !(spec.morePartitions && partitions > spec.partitions))
    yield mismatch(
      `must have ${spec.partitions} partitions`,
      partitions,
      'set ingest.partitions to what executions.v1 has, or let Headroom make new topics under another eventLog.prefix',
    );
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
    ...(compacted ? [] : [retention(retentionMs)]),
    exactly('message.timestamp.type', 'LogAppendTime', arrival),
    {
      setting: 'min.insync.replicas',
      wanted: String(acknowledged),
      isMet: (got) => Number(got) >= acknowledged,
      why: `at least ${acknowledged}, so that the loss of one copy loses nothing that was acknowledged`,
    },
    ...(isOpen ? [readable(compression)] : []),
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

/** Brokers then pack anew what comes packed otherwise, and measure it as it is stored. */
function readable(compression: KafkaSettings['compression']): NeededSetting {
  return {
    setting: 'compression.type',
    wanted: compression === 'none' ? 'uncompressed' : compression,
    isMet: (got) => READABLE.includes(got),
    why: `one of ${READABLE.join(', ')}, because nothing else that others write can be read`,
  };
}
