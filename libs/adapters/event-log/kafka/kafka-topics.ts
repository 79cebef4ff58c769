import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { TopicMismatch, type TopicSpec } from '../event-log.js';
import { inTime } from '../in-time.js';
import { explained } from './kafka-errors.js';

/** Largest record: its key, value and headers, as the client writes them. */
export const MAX_RECORD_BYTES = 1024 * 1024;
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
  const late = () => new Error(`brokers must make and describe topics within ${TOPICS_WITHIN_MS} ms`);
  try {
    await admin.connect();
    return await inTime(ensured(admin, given), TOPICS_WITHIN_MS, late);
  } catch (error) {
    if (error instanceof TopicMismatch) throw error;
    throw explained(error, `making sure of topics ${given.specs.map(({ name }) => name).join(', ')}`);
  } finally {
    await admin.disconnect().catch(() => undefined); // what does not answer is gone
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
      for (const problem of mismatches(spec, { partitions, config })) throw new TopicMismatch(problem);
      return [spec.name, { partitions, maxBatchBytes: Number(config['max.message.bytes']) }] as const;
    }),
  );
}

function creation({ name, partitions, retentionMs, compacted }: TopicSpec, replicationFactor: number) {
  const settings = {
    'cleanup.policy': compacted ? 'compact' : 'delete',
    'message.timestamp.type': 'LogAppendTime',
    'max.message.bytes': String(MAX_BATCH_BYTES),
    ...(!compacted && { 'retention.ms': String(retentionMs) }),
  };
  const configEntries = Object.entries(settings).map(([key, value]) => ({ name: key, value }));
  return { topic: name, numPartitions: partitions, replicationFactor, configEntries };
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

/** How a topic is not as it must be: what, the rule, what it is, and what helps. */
function* mismatches(
  spec: TopicSpec,
  { partitions, config }: { partitions: number; config: TopicConfig },
): Generator<string> {
  const where = `event log topic ${spec.name}`;
  const alter = (setting: string) =>
    `hint: kafka-configs --alter --topic ${spec.name} --add-config ${setting}`;
  if (partitions !== spec.partitions)
    yield `${where}: must have ${spec.partitions} partitions, got ${partitions} (hint: set ingest.partitions to what the topics have, or let Headroom make new ones under another eventLog.prefix)`;
  const policy = spec.compacted ? 'compact' : 'delete';
  if (config['cleanup.policy'] !== policy)
    yield `${where}: cleanup.policy must be ${policy}, got ${config['cleanup.policy']} (${alter(`cleanup.policy=${policy}`)})`;
  const retentionMs = Number(config['retention.ms']);
  if (!spec.compacted && retentionMs >= 0 && retentionMs < spec.retentionMs)
    yield `${where}: retention.ms must be at least ${spec.retentionMs}, got ${retentionMs} (${alter(`retention.ms=${spec.retentionMs}`)})`;
  const timestampType = config['message.timestamp.type'];
  if (timestampType !== 'LogAppendTime')
    yield `${where}: message.timestamp.type must be LogAppendTime, got ${timestampType}: records are judged by when they arrived (${alter('message.timestamp.type=LogAppendTime')})`;
}
