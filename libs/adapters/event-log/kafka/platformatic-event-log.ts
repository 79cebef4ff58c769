import { Consumer, findErrorBy } from '@platformatic/kafka';
import type {
  EventLog,
  Lag,
  Member,
  NewRecord,
  ReadFrom,
  StoredRecord,
  Subscription,
  TopicPartition,
  TopicSpec,
} from '../event-log.js';
import { explained, fetchError } from './kafka-errors.js';
import { KafkaEventLog, type KafkaEventLogOptions } from './kafka-event-log.js';
import type { KafkaSettings } from './kafka-settings.js';
import { platformaticOptions } from './platformatic-sender.js';

const READ_COMMITTED = 1;
const READ_BYTES = 1024 * 1024;
const TRANSACTIONAL = 0x10;
/** The client makes errors of what a partition carries in place of records. */
const OUT_OF_RANGE = 'OFFSET_OUT_OF_RANGE';

type Answer = Awaited<ReturnType<Consumer['fetch']>>;
/** What a broker has of one partition. */
type Fetched = Answer['responses'][number]['partitions'][number];

/** The second client is asked for what it gets wrong. */
export class NotByThisClient extends Error {
  override name = 'NotByThisClient';

  constructor(what: string) {
    super(`event log on Kafka: ${what} must be done by kafkajs, got @platformatic/kafka 2.12.1`);
  }
}

/**
 * Plain reading and appending by the second client, @platformatic/kafka. What it gets wrong is refused: it loses offsets
 * that are added to a transaction at the same time, and hands out records of aborted transactions. Groups, topics and
 * offsets are the first client's.
 */
export class PlatformaticEventLog implements EventLog {
  private constructor(
    private readonly log: KafkaEventLog,
    private readonly consumer: Consumer<Buffer, Buffer, Buffer, Buffer>,
  ) {}

  static async open(
    settings: KafkaSettings,
    options: KafkaEventLogOptions = {},
  ): Promise<PlatformaticEventLog> {
    const log = await KafkaEventLog.open({ ...settings, producer: 'platformatic' }, options);
    const base = await platformaticOptions(settings, options.token);
    const consumer = new Consumer<Buffer, Buffer, Buffer, Buffer>({
      ...base,
      groupId: `${settings.prefix}none`,
    });
    return new PlatformaticEventLog(log, consumer);
  }

  ensureTopics(topics: TopicSpec[]): Promise<void> {
    return this.log.ensureTopics(topics);
  }

  findTopics(names: readonly string[]): Promise<void> {
    return this.log.findTopics(names);
  }

  append(topic: string, records: NewRecord[]): Promise<void> {
    return this.log.append(topic, records);
  }

  async subscribe(subscription: Subscription): Promise<Member> {
    if (subscription.commits === true)
      throw new NotByThisClient(`group ${subscription.group}, which commits,`);
    return this.log.subscribe(subscription);
  }

  /** Throws {@link NotByThisClient} when it meets a record of a transaction. */
  async read({ topic, partition, offset, maxRecords }: ReadFrom): Promise<StoredRecord[]> {
    const at = { topic, partition };
    if (!(partition >= 0 && partition < this.log.partitions(topic)))
      throw new Error(`event log: a partition of ${topic}, got ${partition}`);
    const piece = await this.fetch(at, offset).catch((error: unknown): typeof OUT_OF_RANGE => {
      if (findErrorBy(error as Error, 'apiId', OUT_OF_RANGE) !== null) return OUT_OF_RANGE;
      throw explained(error, `reading ${topic}[${partition}]`);
    });
    if (piece === OUT_OF_RANGE) {
      const first = await this.log.offsetAtTime({ ...at, timeMs: 0 });
      return first > offset ? this.read({ ...at, offset: first, maxRecords }) : [];
    }
    const batches = piece?.records ?? [];
    if (batches.some(({ attributes }) => (attributes & TRANSACTIONAL) !== 0))
      throw new NotByThisClient(`reading ${topic}, which holds transactions,`);
    const records = batches.flatMap((batch) =>
      batch.records.map((record) => ({
        key: record.key?.toString() ?? '',
        value: record.value?.toString() ?? null,
        headers: Object.fromEntries(
          record.headers.map(([name, value]) => [String(name), String(value ?? '')]),
        ),
        offset: Number(batch.firstOffset) + record.offsetDelta,
        timestampMs: Number(batch.maxTimestamp),
      })),
    );
    return records.filter((record) => record.offset >= offset).slice(0, maxRecords);
  }

  offsetAtTime(at: TopicPartition & { timeMs: number }): Promise<number> {
    return this.log.offsetAtTime(at);
  }

  endOffset(at: TopicPartition): Promise<number> {
    return this.log.endOffset(at);
  }

  lag(group: { group: string; topic: string }): Promise<Lag> {
    return this.log.lag(group);
  }

  partitions(topic: string): number {
    return this.log.partitions(topic);
  }

  partitionOf(at: { topic: string; key: string }): number {
    return this.log.partitionOf(at);
  }

  identity(): Promise<string> {
    return this.log.identity();
  }

  async close(): Promise<void> {
    await this.log.close();
    await this.consumer.close(true);
  }

  /** Undefined: a broker leaves out of a fetch session what has nothing new (KIP-227), neither records nor an error. */
  private async fetch({ topic, partition }: TopicPartition, offset: number): Promise<Fetched | undefined> {
    const name = this.log.names.topic(topic);
    const { topics } = await this.consumer.metadata({ topics: [name], autocreateTopics: false });
    const known = topics.get(name);
    const place = known?.partitions[partition];
    if (known === undefined || place === undefined) throw fetchError(3);
    const from = { partition, fetchOffset: BigInt(offset), partitionMaxBytes: READ_BYTES };
    const answer = await this.consumer.fetch({
      node: place.leader,
      topics: [
        {
          topicId: known.id,
          partitions: [{ ...from, currentLeaderEpoch: place.leaderEpoch, lastFetchedEpoch: -1 }],
        },
      ],
      maxWaitTime: 0,
      minBytes: 0,
      maxBytes: READ_BYTES,
      isolationLevel: READ_COMMITTED,
    });
    return answer.responses[0]?.partitions[0];
  }
}
