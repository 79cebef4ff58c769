import type { ISocketFactory, Kafka } from 'kafkajs';
import type {
  AtomicStep,
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
import { END, KafkaCluster, START } from './cluster.js';
import { Connections } from './connections.js';
import { fetchError } from './kafka-errors.js';
import { compressionOf, kafkaClient, type TokenSource } from './kafka-client.js';
import { KafkaMember } from './kafka-member.js';
import type { KafkaSettings } from './kafka-settings.js';
import { ensureKafkaTopics, MAX_RECORD_BYTES, morePartitions, type KafkaTopic } from './kafka-topics.js';
import { partitionOfKey } from './key-partition.js';
import { decodeBatches } from './record-batches.js';
import { BATCH_BYTES, sizeOf, type Outgoing } from './sends.js';
import { PlatformaticSender } from './platformatic-sender.js';
import { kafkajsSender, TopicAppender } from './topic-appender.js';
import { plainSocket } from './whole-answers.js';

/** A read, or a question for offsets, that is not answered by then has failed. */
const ANSWER_WITHIN_MS = 15_000;
/** What a read asks for: so much for each record, within bounds; a batch comes whole all the same. */
const READ_BYTES_PER_RECORD = 512;
const MIN_READ_BYTES = 4 * 1024;
const MAX_READ_BYTES = 8 * 1024 * 1024;
const OFFSET_OUT_OF_RANGE = 1;

export interface KafkaEventLogOptions {
  /** A batch, an assignment or a revocation that takes longer has hung: its member is expelled. */
  maxBatchMs?: number;
  /** A broker that keeps a transaction is asked for so long; brokers give up what was begun twice as late. */
  coordinatorWithinMs?: number;
  /** Instead of eventLog.sasl.tokenFile. */
  token?: TokenSource;
  /** What the client library calls errors; no secrets. It tries most of them again by itself. */
  note?: (text: string) => void;
  /** How connections are made; default: TCP, or TLS when the settings say so. */
  socketFactory?: ISocketFactory;
  nowMs?: () => number;
}

/**
 * The event log on Kafka. kafkajs connects, logs in, appends and runs transactions; groups are joined and records
 * fetched here (docs/decisions/0011), so that batches, offsets and what is committed are under our control.
 */
export class KafkaEventLog implements EventLog {
  private readonly topics = new Map<string, KafkaTopic>();
  /** Those of others, which have no prefix; each by itself, because one that is deleted must not disturb the rest. */
  private readonly found = new Map<string, KafkaCluster>();
  private readonly appenders = new Map<string, TopicAppender>();
  private readonly members = new Set<KafkaMember>();
  private cluster: KafkaCluster | undefined;

  private constructor(
    private readonly kafka: Kafka,
    private readonly settings: KafkaSettings,
    private readonly compression: number,
    private readonly connections: Connections,
    private readonly options: {
      maxBatchMs: number;
      coordinatorWithinMs: number;
      nowMs: () => number;
      token: TokenSource | undefined;
    },
  ) {}

  /** Throws when a file of the settings cannot be read. Brokers are asked by {@link ensureTopics}. */
  static async open(settings: KafkaSettings, options: KafkaEventLogOptions = {}): Promise<KafkaEventLog> {
    const { maxBatchMs = 60_000, coordinatorWithinMs = 15_000, nowMs = Date.now, ...clientOptions } = options;
    const compression = compressionOf(settings);
    const connections = new Connections(options.socketFactory ?? plainSocket);
    const kafka = await kafkaClient(settings, { ...clientOptions, socketFactory: connections.factory });
    const own = { maxBatchMs, coordinatorWithinMs, nowMs, token: options.token };
    return new KafkaEventLog(kafka, settings, compression, connections, own);
  }

  /** Also throws LogUnreachable and LogForbidden. */
  async ensureTopics(topics: TopicSpec[]): Promise<void> {
    const specs = topics.map((spec) => ({ ...spec, name: this.names.topic(spec.name) }));
    const found = await ensureKafkaTopics(this.kafka, { ...this.settings, specs });
    for (const { name } of topics) this.topics.set(name, found.get(this.names.topic(name)) as KafkaTopic);
    await this.cluster?.close();
    this.cluster = await KafkaCluster.connect(this.kafka, this.kafkaTopics([...this.topics.keys()]));
  }

  /** Also throws LogUnreachable and LogForbidden. */
  async findTopics(names: readonly string[]): Promise<void> {
    for (const name of names)
      if (!this.found.has(name)) this.found.set(name, await KafkaCluster.find(this.kafka, name));
  }

  async append(topic: string, records: NewRecord[]): Promise<void> {
    const outgoing = this.outgoing([{ topic, records }]);
    if (outgoing.length === 0) return;
    let appender = this.appenders.get(topic);
    if (appender === undefined) {
      const connect = () =>
        this.settings.producer === 'kafkajs'
          ? kafkajsSender(this.kafka)
          : PlatformaticSender.connect(this.settings, this.options.token);
      appender = new TopicAppender(connect, this.names.topic(topic), this.compression);
      this.appenders.set(topic, appender);
    }
    await appender.append(outgoing);
  }

  async subscribe(subscription: Subscription): Promise<Member> {
    for (const topic of subscription.topics) this.partitions(topic);
    const { bundles, sessionTimeoutMs } = this.settings;
    const { kafka, compression, names } = this;
    const cluster = await KafkaCluster.connect(kafka, this.kafkaTopics(subscription.topics));
    const member = await KafkaMember.join({
      kafka,
      cluster,
      subscription,
      partitionsOf: (topic) => this.partitions(names.inProgram(topic)),
      bundles,
      compression,
      sessionTimeoutMs,
      maxBatchMs: this.options.maxBatchMs,
      coordinatorWithinMs: this.options.coordinatorWithinMs,
      outgoing: (outputs) => this.outgoing(outputs),
      names,
    });
    this.members.add(member);
    void member.ended.then(() => this.members.delete(member));
    return member;
  }

  async read({ maxRecords, ...at }: ReadFrom): Promise<StoredRecord[]> {
    this.checkPartition(at);
    const topic = this.names.topic(at.topic);
    const cluster = this.clusterOf(at.topic);
    const doing = `reading ${at.topic}[${at.partition}]`;
    let from = at.offset;
    for (;;) {
      const piece = await cluster.retried(doing, ANSWER_WITHIN_MS, () =>
        this.fetchOnce(cluster, { topic, partition: at.partition }, { from, maxRecords }),
      );
      // Records of transactions that were rolled back, and ends of transactions, are passed over.
      if (piece.records.length > 0 || piece.nextOffset === from) return piece.records;
      from = piece.nextOffset;
    }
  }

  async offsetAtTime({ timeMs, ...at }: TopicPartition & { timeMs: number }): Promise<number> {
    const offset = await this.offsetOf(at, timeMs);
    return offset ?? this.endOffset(at);
  }

  async endOffset(at: TopicPartition): Promise<number> {
    return (await this.offsetOf(at, END)) ?? 0;
  }

  /** Also throws {@link TopicMismatch}: nobody reads partitions that came later. */
  async lag({ group, topic }: { group: string; topic: string }): Promise<Lag> {
    const partitions = Array.from({ length: this.partitions(topic) }, (_, partition) => partition);
    const cluster = this.clusterOf(topic);
    const named = this.names.topic(topic);
    const unread = await cluster.retried(`asking for the lag of ${group}`, ANSWER_WITHIN_MS, async () => {
      await cluster.refreshed();
      return this.unreadOf(cluster, this.names.group(group), named, partitions);
    });
    const there = cluster.leaders(named).size;
    if (there > partitions.length) throw morePartitions(named, partitions.length, there);
    const oldest = await Promise.all(
      unread.map(async ({ partition, offset, records }) => {
        const [first] = await this.read({ topic, partition, offset, maxRecords: 1 });
        // Nothing but ends of transactions is nothing to read.
        return first === undefined ? undefined : { records, timestampMs: first.timestampMs };
      }),
    );
    const lagging = oldest.filter((entry) => entry !== undefined);
    const records = lagging.reduce((sum, entry) => sum + entry.records, 0);
    const oldestMs = Math.min(...lagging.map(({ timestampMs }) => timestampMs));
    return { records, ageMs: records === 0 ? 0 : Math.max(0, this.options.nowMs() - oldestMs) };
  }

  partitions(topic: string): number {
    return this.found.get(topic)?.leaders(topic).size ?? this.topicOf(topic).partitions;
  }

  partitionOf({ topic, key }: { topic: string; key: string }): number {
    return partitionOfKey(key, this.partitions(topic));
  }

  /** Of the topics with this prefix: others in the same cluster are another log. */
  async identity(): Promise<string> {
    const cluster = this.connected();
    const [topic = ''] = this.kafkaTopics([...this.topics.keys()]);
    const id = await cluster.retried('asking for the cluster', ANSWER_WITHIN_MS, () => cluster.id(topic));
    return `kafka/${id}/${this.settings.prefix}`;
  }

  async close(): Promise<void> {
    await Promise.all([...this.members].map((member) => member.leave()));
    await Promise.all([...this.appenders.values()].map((appender) => appender.close()));
    await Promise.all([this.cluster, ...this.found.values()].map((cluster) => cluster?.close()));
    this.connections.close();
  }

  /** Between the names of the program and those at the brokers. */
  readonly names = {
    topic: (name: string): string => (this.found.has(name) ? name : this.settings.prefix + name),
    group: (name: string): string => this.settings.prefix + name,
    inProgram: (topic: string): string =>
      this.found.has(topic) ? topic : topic.slice(this.settings.prefix.length),
  };

  private kafkaTopics(topics: string[]): string[] {
    return topics.map(this.names.topic);
  }

  private async fetchOnce(
    cluster: KafkaCluster,
    { topic, partition }: TopicPartition,
    { from, maxRecords }: { from: number; maxRecords: number },
  ): Promise<{ records: StoredRecord[]; nextOffset: number }> {
    const maxBytes = Math.min(Math.max(MIN_READ_BYTES, maxRecords * READ_BYTES_PER_RECORD), MAX_READ_BYTES);
    const nodeId = cluster.leaders(topic).get(partition) ?? -1;
    const wait = { maxWaitMs: 0, maxBytes };
    const [answer] = await cluster.fetch(nodeId, [{ topic, partition, offset: from, maxBytes }], wait);
    if (answer === undefined || answer.errorCode === OFFSET_OUT_OF_RANGE) {
      const first = (await cluster.offsets(topic, { partitions: [partition], timeMs: START })).get(partition);
      return { records: [], nextOffset: Math.max(from, first ?? from) };
    }
    if (answer.errorCode !== 0) throw fetchError(answer.errorCode);
    return decodeBatches(answer.batches, { from, maxRecords, aborted: answer.aborted });
  }

  private async offsetOf(at: TopicPartition, timeMs: number): Promise<number | undefined> {
    this.checkPartition(at);
    const topic = this.names.topic(at.topic);
    const doing = `asking for an offset of ${at.topic}[${at.partition}]`;
    const cluster = this.clusterOf(at.topic);
    const work = () => cluster.offsets(topic, { partitions: [at.partition], timeMs });
    return (await cluster.retried(doing, ANSWER_WITHIN_MS, work)).get(at.partition);
  }

  /** Partitions with something that the group has not committed yet, from where, and how much. */
  private async unreadOf(cluster: KafkaCluster, group: string, topic: string, partitions: number[]) {
    const committed = await cluster.committed(
      group,
      partitions.map((partition) => ({ topic, partition })),
    );
    const ends = await cluster.offsets(topic, { partitions, timeMs: END, isolation: 'committed' });
    const starts = await cluster.offsets(topic, { partitions, timeMs: START });
    return partitions.flatMap((partition, i) => {
      const offset = Math.max(committed[i] ?? 0, starts.get(partition) ?? 0);
      const records = (ends.get(partition) ?? 0) - offset;
      return records > 0 ? [{ partition, offset, records }] : [];
    });
  }

  private outgoing(outputs: AtomicStep['outputs']): Outgoing[] {
    return outputs.flatMap(({ topic, records }) => {
      const { partitions, maxBatchBytes } = this.topicOf(topic);
      const maxBytes = Math.min(MAX_RECORD_BYTES, maxBatchBytes - BATCH_BYTES);
      return records.map(({ key, value, headers, partition = partitionOfKey(key, partitions) }) => {
        if (!(partition >= 0 && partition < partitions))
          throw new Error(`event log: a partition of ${topic}, got ${partition}`);
        const bytes = sizeOf({ key, value, headers });
        if (bytes > maxBytes)
          throw new Error(`event log record: at most ${maxBytes} bytes, got ${bytes} for ${topic}`);
        return { topic: this.names.topic(topic), partition, key, value, headers, bytes, maxBatchBytes };
      });
    });
  }

  private topicOf(topic: string): KafkaTopic {
    const known = this.topics.get(topic);
    if (known === undefined)
      throw new Error(`event log: a known topic, got ${topic} (ensureTopics creates topics)`);
    return known;
  }

  private checkPartition({ topic, partition }: TopicPartition): void {
    if (!(partition >= 0 && partition < this.partitions(topic)))
      throw new Error(`event log: a partition of ${topic}, got ${partition}`);
  }

  private clusterOf(topic: string): KafkaCluster {
    return this.found.get(topic) ?? this.connected();
  }

  private connected(): KafkaCluster {
    if (this.cluster === undefined) throw new Error('event log on Kafka: ensureTopics must come first');
    return this.cluster;
  }
}
