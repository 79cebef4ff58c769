import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { TopicMismatch, type TopicSpec } from '../event-log.js';
import { inTime } from '../in-time.js';
import { disconnected } from './cluster.js';
import { explained, NoAnswer } from './kafka-errors.js';

/** Largest record, as `sizeOf` counts: a megabyte of key and value, and some for the rest. */
export const MAX_RECORD_BYTES = 1024 * 1024 + 1024;
/** Of topics that are made here: a batch with the largest record. */
const MAX_BATCH_BYTES = MAX_RECORD_BYTES + 64 * 1024;
/** A broker that makes or describes topics does so by then. */
const TOPICS_WITHIN_MS = 30_000;
const ASKED = ['cleanup.policy', 'retention.ms', 'max.message.bytes', 'message.timestamp.type'] as const;

/** What Kafka says of a topic. */
export interface KafkaTopic {
  partitions: number;
  /** Largest batch it takes. */
  maxBatchBytes: number;
}

type TopicConfig = Record<(typeof ASKED)[number], string>;

/** Makes what is missing and checks what is there; throws {@link TopicMismatch}, or as `explained`. */
export async function ensureKafkaTopics(
  kafka: Kafka,
  given: { specs: TopicSpec[]; replicationFactor: number },
): Promise<Map<string, KafkaTopic>> {
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
  { specs, replicationFactor }: { specs: TopicSpec[]; replicationFactor: number },
): Promise<Map<string, KafkaTopic>> {
  const existing = new Set(await admin.listTopics());
  const missing = specs.filter(({ name }) => !existing.has(name));
  if (missing.length > 0) {
    const topics = missing.map((spec) => creation(spec, replicationFactor));
    await admin.createTopics({ topics, waitForLeaders: true });
  }
  const topics = specs.map(({ name }) => name);
  const { topics: described } = await admin.fetchTopicMetadata({ topics });
  const configs = await configsOf(admin, topics);
  return new Map(
    specs.map((spec) => {
      const partitions = described.find(({ name }) => name === spec.name)?.partitions.length ?? 0;
      const config = configs.get(spec.name) as TopicConfig;
      for (const mismatch of mismatches(spec, { partitions, config })) throw mismatch;
      return [spec.name, { partitions, maxBatchBytes: Number(config['max.message.bytes']) }] as const;
    }),
  );
}

function creation(spec: TopicSpec, replicationFactor: number) {
  const needed = settingsOf(spec).map(({ setting, wanted }) => ({ name: setting, value: wanted }));
  const configEntries = [...needed, { name: 'max.message.bytes', value: String(MAX_BATCH_BYTES) }];
  return { topic: spec.name, numPartitions: spec.partitions, replicationFactor, configEntries };
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
  { partitions, config }: { partitions: number; config: TopicConfig },
): Generator<TopicMismatch> {
  const mismatch = (rule: string, got: string | number, hint: string) =>
    new TopicMismatch(`event log topic ${spec.name}: ${rule}, got ${got}`, hint);
  if (partitions !== spec.partitions)
    yield mismatch(
      `must have ${spec.partitions} partitions`,
      partitions,
      'set ingest.partitions to what executions.v1 has, or let Headroom make new topics under another eventLog.prefix',
    );
  for (const { setting, wanted, isMet, why } of settingsOf(spec)) {
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

function settingsOf({ compacted, retentionMs }: TopicSpec): NeededSetting[] {
  const exactly = (setting: NeededSetting['setting'], wanted: string, why = wanted): NeededSetting => ({
    setting,
    wanted,
    isMet: (got) => got === wanted,
    why,
  });
  const arrival = 'LogAppendTime, because records are judged by when they arrived';
  const policy = exactly('cleanup.policy', compacted ? 'compact' : 'delete');
  const retention: NeededSetting = {
    setting: 'retention.ms',
    wanted: String(retentionMs),
    isMet: (got) => Number(got) < 0 || Number(got) >= retentionMs,
    why: `at least ${retentionMs}`,
  };
  const timestamps = exactly('message.timestamp.type', 'LogAppendTime', arrival);
  return compacted ? [policy, timestamps] : [policy, retention, timestamps];
}
