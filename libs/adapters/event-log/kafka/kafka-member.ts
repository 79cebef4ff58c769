import { setTimeout as delay } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import type {
  AtomicStep,
  Member,
  Position,
  RecordBatch,
  StartOffset,
  Subscription,
  TopicPartition,
} from '../event-log.js';
import { byNumber } from '../assignment.js';
import { inTime, Patience } from '../in-time.js';
import { BatchHung, DoesNotCommit } from '../member-errors.js';
import { BundleProducer } from './bundle-producer.js';
import { bundleOf, keyOf, transactionalIdOf } from './bundles.js';
import { END, START, type KafkaCluster } from './cluster.js';
import { Fetching } from './fetching.js';
import { Membership, type Joined } from './membership.js';
import { PartitionReader } from './partition-reader.js';
import type { Outgoing } from './sends.js';

/** Records of one batch, unless the subscription says otherwise. */
const BATCH_RECORDS = { min: 1_000, max: 10_000 };
/** What all readers of a member hold that was fetched and not handed out, and one reader at most and at least. */
const MAX_MEMBER_BYTES = 64 * 1024 * 1024;
const MAX_READER_BYTES = 4 * 1024 * 1024;
const MIN_READER_BYTES = 256 * 1024;
/** What the others wait for a member beyond the time its batch may take. */
const REBALANCE_MARGIN_MS = 5_000;
/** For the offsets that a reader starts from. */
const OFFSETS_WITHIN_MS = 15_000;
/** Before the next round of joining: whoever is slower must hear first what it has to let go. */
const FIRST_ROUND_PAUSE_MS = 20;
const MAX_ROUND_PAUSE_MS = 500;

export interface MemberOptions {
  kafka: Kafka;
  cluster: KafkaCluster;
  subscription: Subscription;
  /** Partitions of a topic, by its name at the brokers, as they were when the program started. */
  partitionsOf: (topic: string) => number;
  bundles: number;
  compression: number;
  sessionTimeoutMs: number;
  /** A batch, a revocation or a piece of an assignment that takes longer has hung. */
  maxBatchMs: number;
  /** A broker that keeps a transaction is asked for so long. */
  coordinatorWithinMs: number;
  outgoing: (outputs: AtomicStep['outputs']) => Outgoing[];
  /** Between the names of the program and those at the brokers. */
  names: { topic(name: string): string; group(name: string): string; inProgram(topic: string): string };
}

/**
 * A member of a consumer group. When members change, each ends its batches, joins again, and then loses and gains the
 * difference only, as long as the group has not forgotten it in between. What changes hands is with nobody for a round:
 * all join once more, and who had it has let go by then. The group waits for a member as long as a batch may take.
 */
export class KafkaMember implements Member {
  private readonly readers = new Map<string, PartitionReader>();
  private readonly producers = new Map<number, BundleProducer>();
  private readonly membership: Membership;
  private readonly fetching: Fetching;
  private readonly group: string;
  private readonly patience: Patience;
  private changing: Promise<void> | undefined;
  private mustChange = false;
  private leaving: Promise<void> | undefined;
  private failing: Promise<void> | undefined;
  private gone = false;
  private readonly end = Promise.withResolvers<void>();
  /** It has left, or failed, and closed its connections. */
  readonly ended = this.end.promise;

  private constructor(private readonly options: MemberOptions) {
    const { cluster, subscription, partitionsOf, bundles, sessionTimeoutMs, maxBatchMs, names } = options;
    this.group = names.group(subscription.group);
    this.patience = new Patience(maxBatchMs);
    const topics = subscription.topics.map(names.topic);
    this.membership = new Membership(cluster, {
      group: this.group,
      topics,
      partitionsOf,
      bundles,
      sessionTimeoutMs,
      rebalanceTimeoutMs: maxBatchMs + REBALANCE_MARGIN_MS,
      onChange: () => void this.change(),
    });
    this.fetching = new Fetching(cluster, {
      readers: () => this.readers.values(),
      maxBytesPerPartition: this.readerBytes() / 2,
      onLost: (lost) => subscription.onLost?.(this.inProgram(lost)),
      onFailed: (error) => this.expel(error),
    });
  }

  /** Resolves when the first partitions are assigned; rejects when the group cannot be joined. */
  static async join(options: MemberOptions): Promise<KafkaMember> {
    const member = new KafkaMember(options);
    try {
      await member.begin();
    } catch (error) {
      // `onFailed` was told: what it had restored was being read.
      if (member.failing !== undefined) return member;
      const isClosing = member.gone;
      member.gone = true;
      if (!isClosing) await member.close();
      throw error;
    }
    return member;
  }

  progressed(): void {
    this.patience.renew();
  }

  assignment(): TopicPartition[] {
    return this.positions().map(({ topic, partition }) => ({ topic, partition }));
  }

  positions(): Position[] {
    return [...this.readers.values()].map(({ standing }) => this.inProgram(standing));
  }

  async commit({ outputs, offsets }: AtomicStep): Promise<'committed' | 'fenced'> {
    const { subscription, bundles, names, outgoing } = this.options;
    if (subscription.commits !== true) throw new DoesNotCommit(subscription.group);
    const own = offsets.map((offset) => ({ ...offset, topic: names.topic(offset.topic) }));
    const step = { outputs: outgoing(outputs), offsets: own };
    if (this.gone || own.some((offset) => !this.readers.has(keyOf(offset)))) return 'fenced';
    const [bundle, other] = new Set(own.map(({ partition }) => bundleOf(partition, bundles)));
    if (other !== undefined)
      throw new Error(
        `event log on Kafka: offsets of a step must be of one bundle of partitions, got bundles ${bundle} and ${other} (hint: commit partition by partition)`,
      );
    const producer = this.producers.get(bundle ?? bundleOf(this.anyPartition(), bundles));
    return producer === undefined ? 'fenced' : producer.commit(step);
  }

  leave(): Promise<void> {
    this.leaving ??= this.finish();
    return this.leaving;
  }

  /** The first change; what the group asks for meanwhile comes after it, as ever. */
  private async begin(): Promise<void> {
    const first = this.rejoin();
    this.changing = first.catch(() => undefined); // told to whoever joins
    await first.finally(() => (this.changing = undefined));
    if (this.mustChange) void this.change();
  }

  private async finish(): Promise<void> {
    await this.changing;
    try {
      await this.holdAll();
      if (!this.gone) await this.revoke([...this.readers.values()]);
    } catch (error) {
      this.expel(error as Error);
    }
    if (this.gone) return this.failing;
    this.gone = true;
    await this.close();
  }

  /** The group asks for it; one change at a time, and once more when it has asked meanwhile. */
  private change(): Promise<void> {
    this.mustChange = true;
    this.changing ??= this.changes().finally(() => (this.changing = undefined));
    return this.changing;
  }

  private async changes(): Promise<void> {
    try {
      while (this.mustChange && !this.takesNoMore()) await this.rejoin();
    } catch (error) {
      this.expel(error as Error);
    }
  }

  private async rejoin(): Promise<void> {
    await this.holdAll();
    let partitions: TopicPartition[] | undefined;
    for (
      let pauseMs = FIRST_ROUND_PAUSE_MS;
      partitions === undefined && !this.takesNoMore();
      pauseMs = Math.min(2 * pauseMs, MAX_ROUND_PAUSE_MS)
    ) {
      // What the group asked for until here, this answers; joining once more would make all others join once more.
      this.mustChange = false;
      const joined = await this.membership.join([...this.ownBundles()]);
      await this.revoke(this.lostBy(joined));
      if (joined.isSettled) ({ partitions } = joined);
      else await delay(pauseMs);
    }
    this.goOn();
    const gained = partitions?.filter((at) => !this.readers.has(keyOf(at))) ?? [];
    for (const own of byNumber(gained)) {
      // What it has not restored yet it does not claim: whoever gets it begins anew.
      if (this.takesNoMore() || this.mustChange) return;
      await this.grant(own);
      this.goOn();
    }
  }

  /** Unless the group has forgotten this member meanwhile, and others may have its partitions. */
  private goOn(): void {
    if (this.takesNoMore() || this.mustChange) return;
    for (const reader of this.readers.values()) reader.release();
    this.fetching.pump();
  }

  private lostBy({ partitions, follows }: Joined): PartitionReader[] {
    const kept = new Set(follows ? partitions.map(keyOf) : []);
    return [...this.readers].filter(([key]) => !kept.has(key)).map(([, reader]) => reader);
  }

  private async holdAll(): Promise<void> {
    await Promise.all([...this.readers.values()].map((reader) => reader.hold()));
  }

  /** Their batches have ended. */
  private async revoke(lost: PartitionReader[]): Promise<void> {
    if (lost.length === 0) return;
    for (const reader of lost) {
      reader.stop();
      this.readers.delete(keyOf(reader.at));
    }
    const { subscription } = this.options;
    const partitions = lost.map(({ at }) => this.inProgram(at));
    await this.inTime(subscription.onRevoked?.(partitions) ?? Promise.resolve(), 'onRevoked');
    const kept = this.ownBundles();
    const closed = [...this.producers].filter(([bundle]) => !kept.has(bundle));
    for (const [bundle] of closed) this.producers.delete(bundle);
    await Promise.all(closed.map(([, producer]) => producer.close()));
  }

  /** Of one number. Predecessors are fenced before anybody asks where to start. */
  private async grant(gained: TopicPartition[]): Promise<void> {
    const { subscription } = this.options;
    await this.openProducers(gained);
    if (this.gone) return;
    const partitions = gained.map((at) => this.inProgram(at));
    const assigned = subscription.onAssigned?.(partitions, this) ?? Promise.resolve([]);
    const own = await this.patience.wait(assigned, () => this.hung('onAssigned'));
    const { starts, unsaid } = await this.startsOf(gained, own);
    if (this.gone) return;
    for (const { offset, ...at } of starts) this.readers.set(keyOf(at), this.readerOf(at, offset));
    // When it left meanwhile it hands on what it has restored, unread.
    if (subscription.newFromMs !== undefined && !this.takesNoMore()) await this.keepBeginnings(unsaid);
  }

  private async openProducers(gained: TopicPartition[]): Promise<void> {
    const { kafka, cluster, subscription, bundles, compression, coordinatorWithinMs } = this.options;
    if (subscription.commits !== true) return;
    const { group } = this;
    const missing = new Set(gained.map(({ partition }) => bundleOf(partition, bundles)));
    for (const bundle of this.producers.keys()) missing.delete(bundle);
    const opening = [...missing].map(async (bundle) => {
      const transactionalId = transactionalIdOf({ group, bundle });
      const given = { cluster, transactionalId, group, compression, coordinatorWithinMs };
      const producer = await BundleProducer.open(kafka, given);
      if (this.gone) await producer.close();
      else this.producers.set(bundle, producer);
    });
    // All of them, also when one fails: whoever closes the others must know of them.
    const failure = (await Promise.allSettled(opening)).find(({ status }) => status === 'rejected');
    if (failure !== undefined) throw (failure as PromiseRejectedResult).reason;
  }

  /** Whoever comes next begins there as well, although nothing has been read until then. */
  private async keepBeginnings(begun: StartOffset[]): Promise<void> {
    const { bundles } = this.options;
    for (const [bundle, offsets] of Map.groupBy(begun, ({ partition }) => bundleOf(partition, bundles)))
      await this.producers.get(bundle)?.commit({ outputs: [], offsets });
  }

  /** What the reader says; else what the group has committed; else where a group begins (`unsaid`). */
  private async startsOf(
    gained: TopicPartition[],
    own: StartOffset[],
  ): Promise<{ starts: StartOffset[]; unsaid: StartOffset[] }> {
    const { cluster, subscription, names } = this.options;
    const said = new Map(
      own.map((start) => [keyOf({ ...start, topic: names.topic(start.topic) }), start.offset]),
    );
    const open = gained.filter((at) => !said.has(keyOf(at)));
    if (open.length > 0 && subscription.commits === true) {
      const doing = `asking for the offsets of group ${this.group}`;
      const work = () => cluster.committed(this.group, open);
      const committed = await cluster.retried(doing, OFFSETS_WITHIN_MS, work);
      for (const [i, offset] of committed.entries())
        if (offset !== undefined) said.set(keyOf(open[i] as TopicPartition), offset);
    }
    const unsaid = gained.filter((at) => !said.has(keyOf(at)));
    for (const [topic, own] of Map.groupBy(unsaid, (at) => at.topic)) {
      const partitions = own.map(({ partition }) => partition);
      const work = () => this.beginnings(topic, partitions);
      const first = await cluster.retried(`asking where ${topic} begins`, OFFSETS_WITHIN_MS, work);
      for (const at of own) said.set(keyOf(at), first.get(at.partition) ?? 0);
    }
    const startOf = (at: TopicPartition) => ({ ...at, offset: said.get(keyOf(at)) as number });
    return { starts: gained.map(startOf), unsaid: unsaid.map(startOf) };
  }

  private async beginnings(topic: string, partitions: number[]): Promise<Map<number, number | undefined>> {
    const { cluster, subscription } = this.options;
    const { newFromMs } = subscription;
    if (newFromMs === undefined) return cluster.offsets(topic, { partitions, timeMs: START });
    // Asked for first: what is written in between must not be passed over.
    const ends = await cluster.offsets(topic, { partitions, timeMs: END });
    const first = await cluster.offsets(topic, { partitions, timeMs: newFromMs });
    return new Map(partitions.map((partition) => [partition, first.get(partition) ?? ends.get(partition)]));
  }

  private readerOf(at: TopicPartition, start: number): PartitionReader {
    const { maxBatchRecords: max = BATCH_RECORDS.max } = this.options.subscription;
    return new PartitionReader(at, start, {
      batchRecords: { min: Math.min(BATCH_RECORDS.min, max), max },
      maxWaitingBytes: this.readerBytes(),
      handle: (batch) => this.handle(batch),
      onFailed: (error) => this.expel(error),
      onHungry: () => this.fetching.pump(),
    });
  }

  private async handle(batch: RecordBatch): Promise<void> {
    const own = this.inProgram(batch);
    await this.inTime(this.options.subscription.onBatch(own, this), `onBatch of ${own.topic}`);
  }

  private readerBytes(): number {
    const { cluster, subscription, names } = this.options;
    const partitions = subscription.topics.reduce(
      (sum, topic) => sum + cluster.leaders(names.topic(topic)).size,
      0,
    );
    return Math.max(MIN_READER_BYTES, Math.min(MAX_READER_BYTES, MAX_MEMBER_BYTES / partitions));
  }

  private ownBundles(): Set<number> {
    const { bundles } = this.options;
    return new Set([...this.readers.values()].map(({ at }) => bundleOf(at.partition, bundles)));
  }

  private anyPartition(): number {
    return this.readers.values().next().value?.at.partition ?? 0;
  }

  private takesNoMore(): boolean {
    return this.leaving !== undefined || this.gone;
  }

  private expel(error: Error): void {
    if (this.gone) return;
    this.gone = true;
    this.failing = this.fail(error);
  }

  /** Batches of other partitions end, fenced, before anybody else begins with them; one that hung may go on. */
  private async fail(error: Error): Promise<void> {
    for (const reader of this.readers.values()) reader.stop();
    await this.holdAll();
    this.readers.clear();
    void this.close();
    this.options.subscription.onFailed?.(error);
  }

  private async close(): Promise<void> {
    this.fetching.stop();
    await this.membership.leave();
    await Promise.all([...this.producers.values()].map((producer) => producer.close()));
    await this.options.cluster.close();
    this.end.resolve();
  }

  private inProgram<T extends TopicPartition>(at: T): T {
    return { ...at, topic: this.options.names.inProgram(at.topic) };
  }

  private inTime<T>(work: Promise<T>, what: string): Promise<T> {
    return inTime(work, this.options.maxBatchMs, () => this.hung(what));
  }

  private hung(what: string): BatchHung {
    const { maxBatchMs, subscription } = this.options;
    return new BatchHung({ group: subscription.group, what, maxBatchMs });
  }
}
