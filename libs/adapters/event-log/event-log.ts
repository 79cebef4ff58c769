/**
 * A durable, partitioned, replayable log of records. Shaped by Kafka, so that Kafka fits it without change.
 *
 * The one atomic step is {output records, consumed offsets}. A reader that writes elsewhere (a projection in the
 * store) keeps its offsets there, in its own transaction, and says on assignment where to start.
 */
export interface EventLog {
  /** Creates missing topics; throws {@link TopicMismatch} when one exists and is otherwise than asked for. */
  ensureTopics(topics: TopicSpec[]): Promise<void>;
  /**
   * Makes topics of others readable, by the names that they have for everybody; they are neither made nor written to.
   * Throws {@link TopicMismatch} when one does not exist.
   */
  findTopics(names: readonly string[]): Promise<void>;
  /** Resolves when the records are durable. Order is kept per (caller, partition). */
  append(topic: string, records: NewRecord[]): Promise<void>;
  /** Joins a consumer group. Resolves when the first assignment was made. */
  subscribe(subscription: Subscription): Promise<Member>;
  /** Reads without a group, e.g. to rebuild state. Empty at the end of the partition. */
  read(from: ReadFrom): Promise<StoredRecord[]>;
  /** First offset whose record was appended at or after the time; the end offset when there is none. */
  offsetAtTime(at: TopicPartition & { timeMs: number }): Promise<number>;
  /** Next offset to be written. */
  endOffset(at: TopicPartition): Promise<number>;
  /** Records a group has not committed yet, over all partitions, and how old the oldest of them is. */
  lag(group: { group: string; topic: string }): Promise<Lag>;
  partitions(topic: string): number;
  /** Where records of a key go: the same in every process and run, and in every topic of as many partitions. */
  partitionOf(at: { topic: string; key: string }): number;
  /**
   * What this log is called, and no other: the same for everybody who opens it. Places in its topics mean nothing in
   * another one.
   */
  identity(): Promise<string>;
  close(): Promise<void>;
}

/** A topic is not as it must be. */
export class TopicMismatch extends Error {
  override name = 'TopicMismatch';

  constructor(
    message: string,
    /** What an operator can do. */
    readonly hint: string,
  ) {
    super(message);
  }
}

/** The log cannot take more now; the sender waits and sends again. */
export class LogOverloaded extends Error {
  override name = 'LogOverloaded';
}

/** Nobody answers where the log should be. */
export class LogUnreachable extends Error {
  override name = 'LogUnreachable';
}

/** The log does not let this program in, or not at what it wants. */
export class LogForbidden extends Error {
  override name = 'LogForbidden';
}

export interface TopicSpec {
  name: string;
  partitions: number;
  /** Records older than this may be dropped. Ignored when compacted. */
  retentionMs: number;
  /** Keep the last record of each key instead; a record with value null deletes its key. */
  compacted: boolean;
  /** Others than this program write to it as well: brokers must refuse or repack what it could not read. */
  isOpen?: true;
  /** A topic that exists may have more of them. */
  morePartitions?: true;
}

export interface TopicPartition {
  topic: string;
  partition: number;
}

export interface NewRecord {
  /** Chooses the partition when `partition` is not given. */
  key: string;
  /** null = tombstone of a compacted topic. */
  value: string | null;
  headers?: Record<string, string>;
  partition?: number;
}

export interface StoredRecord {
  key: string;
  value: string | null;
  headers: Record<string, string>;
  offset: number;
  /** When it was appended, epoch ms. */
  timestampMs: number;
  /** Where the value lies as UTF-8, [from, to), in a log that has it so: whoever reads bytes needs no text made. */
  utf8?: { bytes: Buffer; from: number; to: number } | undefined;
  /** Not all that came is here: a header of each name, or, of what is unreadable, nothing. */
  isPart?: true | undefined;
  /** Why nothing of it can be read. It stands for all records of the batch that it came in, the last of which it was. */
  unreadable?: string;
}

export interface ReadFrom extends TopicPartition {
  offset: number;
  maxRecords: number;
}

export interface Lag {
  records: number;
  /** Age of the oldest unread record, ms; 0 when there is none. */
  ageMs: number;
}

/** Consecutive records of one partition. */
export interface RecordBatch extends TopicPartition {
  /** Where the reader stood: where it started, or behind the last record of the batch before. */
  from: number;
  /** Not empty; in offset order. */
  records: StoredRecord[];
  endOffset: number;
}

export interface Subscription {
  group: string;
  /**
   * Of topics of as many partitions, which the same members of the group read, partition n goes to the same member: what
   * is keyed alike is read by one.
   */
  topics: string[];
  /** Its members use {@link Member.commit}. Left out: they read only, or keep their offsets elsewhere. */
  commits?: boolean;
  /**
   * Of a partition of which the group has committed nothing: it begins with what was appended since this time, epoch ms,
   * and that it begins there is committed. Left out: with the first record.
   */
  newFromMs?: number;
  maxBatchRecords?: number;
  /**
   * Called before the first batch of a newly assigned partition, with what carries its number in all topics: one after
   * the other, and each is read as soon as it is restored. A reader that keeps its own offsets returns where to start;
   * otherwise the group's committed offset counts (when there is none, see `newFromMs`). One that takes long says
   * {@link Member.progressed}. Not called once the member has failed; a call that hangs then goes on beside its heir's.
   */
  onAssigned?(partitions: TopicPartition[], member: Member): Promise<StartOffset[]>;
  /**
   * Called when the partitions go to someone else, or the member leaves: forget their state. Their batches have ended,
   * and whoever gets them begins afterwards. Not called when the member has failed: it has lost them already.
   */
  onRevoked?(partitions: TopicPartition[]): Promise<void>;
  /** One batch per partition at a time; a rejection stops the member and reaches `onFailed`. */
  onBatch(batch: RecordBatch, member: Member): Promise<void>;
  /**
   * Retention has dropped what the member had not read: it goes on behind it. Told once for each gap, and again to
   * whoever starts before it. The embedded log keeps what a group that commits has not read.
   */
  onLost?(lost: LostRecords): void;
  /** The member has lost its partitions. Its other batches have ended, fenced; one that took too long may go on. */
  onFailed?(error: Error): void;
}

/** Records of [from, to), which are gone. */
export interface LostRecords extends TopicPartition {
  from: number;
  to: number;
}

export interface StartOffset extends TopicPartition {
  offset: number;
}

export interface AtomicStep {
  outputs: { topic: string; records: NewRecord[] }[];
  /** Next offset to consume: of one partition, or of several that always have the same owner. */
  offsets: StartOffset[];
}

/** Where a member stands in a partition. */
export interface Position extends StartOffset {
  /** Next offset to be written, as far as the member knows. */
  endOffset: number;
}

export interface Member {
  /**
   * All of it becomes durable, and visible to readers a moment later, or none. `fenced`: a partition belongs to another member by now. Rejects when
   * the group did not say that it commits.
   */
  commit(step: AtomicStep): Promise<'committed' | 'fenced'>;
  /** Says that `onAssigned` is getting on: the time within which it must end begins anew. */
  progressed(): void;
  assignment(): TopicPartition[];
  /** Of every partition it owns; the next one to be handled. Costs no call. */
  positions(): Position[];
  /** Finishes the batch at hand, commits nothing more, leaves the group. */
  leave(): Promise<void>;
}
