import { Loop, type LoopObserver } from '#adapters/loop';
import {
  TopicMismatch,
  type EventLog,
  type Lag,
  type NewRecord,
  type ReadFrom,
  type StoredRecord,
  type Subscription,
  type Member,
  type TopicPartition,
  type TopicSpec,
} from '../event-log.js';
import { ConsumerGroup } from './consumer-group.js';
import { GroupCommit, MAX_RECORD_BYTES, type Write } from './group-commit.js';
import { Housekeeping } from './housekeeping.js';
import { LOG_TABLES, recordBytes, type LogEngine } from './log-tables.js';
import { Partition, type Topic } from './partition.js';

export interface EmbeddedEventLogOptions {
  maxDelayMs?: number;
  maxDelayRecords?: number;
  fetchLingerMs?: number;
  maxBatchMs?: number;
  /** Retention, compaction, VACUUM and CHECKPOINT (the engine has no background workers). 0 = only when called. */
  housekeepingMs?: number;
  /** Learns of each round of housekeeping; left out, a failed one is a warning of the process. */
  observer?: LoopObserver;
  nowMs?: () => number;
}

/** A round that takes longer is reported; nothing else is started meanwhile. */
const HOUSEKEEPING_TIMEOUT_MS = 60_000;

const WARN: LoopObserver = { ran: () => undefined, failed: ({ error }) => process.emitWarning(error) };

/**
 * The event log on the embedded store: records, offsets and projections live in one engine. An acknowledged record
 * is synced to disk: it survives a killed process and, as far as the disk keeps its word, a power loss.
 */
export class EmbeddedEventLog implements EventLog {
  private readonly topics = new Map<string, Partition[]>();
  private readonly groups = new Map<string, ConsumerGroup>();
  private readonly restored = new Map<string, Map<Partition, number>>();
  private readonly groupCommit: GroupCommit;
  private readonly housekeeping: Housekeeping;
  private readonly housekeepingLoop: Loop;
  private readonly firstHousekeeping: NodeJS.Timeout | undefined;
  private readonly nowMs: () => number;

  private constructor(
    private readonly engine: LogEngine,
    private readonly options: Required<EmbeddedEventLogOptions>,
  ) {
    this.nowMs = options.nowMs;
    this.groupCommit = new GroupCommit(engine, options);
    const { housekeepingMs: periodMs, observer, nowMs } = options;
    this.housekeeping = new Housekeeping(engine, {
      partitions: () => [...this.topics.values()].flat(),
      readTo: (partition) => this.readTo(partition),
      nowMs,
    });
    this.housekeepingLoop = new Loop({
      name: 'log-housekeeping',
      periodMs,
      timeoutMs: HOUSEKEEPING_TIMEOUT_MS,
      run: () => this.keepHouse(),
      observer,
    });
    // A start has better things to do.
    if (periodMs > 0) this.firstHousekeeping = setTimeout(() => this.housekeepingLoop.start(), periodMs);
  }

  static async open(engine: LogEngine, options: EmbeddedEventLogOptions = {}): Promise<EmbeddedEventLog> {
    await engine.query(LOG_TABLES);
    const defaults = {
      maxDelayMs: 5,
      maxDelayRecords: 1_000,
      fetchLingerMs: 25,
      maxBatchMs: 60_000,
      housekeepingMs: 60_000,
      observer: WARN,
    };
    const log = new EmbeddedEventLog(engine, { ...defaults, nowMs: Date.now, ...options });
    await log.load();
    return log;
  }

  async ensureTopics(topics: TopicSpec[]): Promise<void> {
    for (const { name, partitions, retentionMs, compacted } of topics) {
      const existing = this.topics.get(name);
      if (existing !== undefined && existing.length !== partitions) {
        const rule = `must keep its ${existing.length} partitions, got ${partitions} (keys would move between partitions)`;
        const hint =
          'ingest.partitions stays as the data directory was made; another one needs another directory';
        throw new TopicMismatch(`event log topic ${name}: ${rule}`, hint);
      }
      await this.engine.query(
        `insert into log_topics (topic, partitions, retention_ms, compacted) values ($1, $2, $3, $4)
         on conflict (topic) do update set retention_ms = excluded.retention_ms, compacted = excluded.compacted`,
        [name, partitions, retentionMs, compacted],
      );
    }
    await this.load();
    for (const { name, retentionMs, compacted } of topics) {
      const topic = this.topics.get(name)?.[0]?.topic;
      if (topic !== undefined) Object.assign(topic, { retentionMs, compacted });
    }
  }

  async findTopics(names: readonly string[]): Promise<void> {
    const missing = names.find((name) => !this.topics.has(name));
    if (missing === undefined) return;
    const hint = 'topics of others are read on Kafka: eventLog.kind';
    throw new TopicMismatch(`event log topic ${missing}: must exist, got none`, hint);
  }

  async append(topic: string, records: NewRecord[]): Promise<void> {
    const writes = this.writesOf([{ topic, records }]);
    await this.groupCommit.commit({ writes, offsets: [], stillOwner: () => true });
  }

  subscribe(subscription: Subscription): Promise<Member> {
    for (const topic of subscription.topics) this.partitionsOf(topic);
    return this.group(subscription.group).join(subscription);
  }

  async read({ topic, partition, offset, maxRecords }: ReadFrom): Promise<StoredRecord[]> {
    return this.partitionAt({ topic, partition }).read(offset, maxRecords);
  }

  async offsetAtTime({ timeMs, ...at }: TopicPartition & { timeMs: number }): Promise<number> {
    return this.offsetAt(this.partitionAt(at), timeMs);
  }

  async endOffset(at: TopicPartition): Promise<number> {
    return this.partitionAt(at).end;
  }

  async lag({ group, topic }: { group: string; topic: string }): Promise<Lag> {
    let records = 0;
    let oldestMs = Infinity;
    for (const partition of this.partitionsOf(topic)) {
      const from = this.group(group).committedOffset(partition) ?? 0;
      if (from >= partition.end) continue;
      records += partition.end - from;
      oldestMs = Math.min(oldestMs, (await partition.appendedMs(from)) ?? Infinity);
    }
    return { records, ageMs: records === 0 ? 0 : Math.max(0, this.nowMs() - oldestMs) };
  }

  partitions(topic: string): number {
    return this.partitionsOf(topic).length;
  }

  partitionOf({ topic, key }: { topic: string; key: string }): number {
    return hash(key) % this.partitions(topic);
  }

  /** Made when it is first asked for: tables that were just made may be filled with another log. */
  async identity(): Promise<string> {
    await this.engine.query(
      'insert into log_identity select gen_random_uuid() where not exists (select 1 from log_identity)',
    );
    const { rows } = await this.engine.query('select id from log_identity');
    return `embedded/${rows[0]?.['id'] as string}`;
  }

  /** Retention, compaction and what PostgreSQL's background workers would do. Also done by a loop. */
  keepHouse(): Promise<void> {
    return this.housekeeping.run();
  }

  async close(): Promise<void> {
    clearTimeout(this.firstHousekeeping);
    await this.housekeepingLoop.stop();
    await Promise.all([...this.groups.values()].map((group) => group.close()));
    await this.groupCommit.settled();
    await this.housekeeping.idle();
  }

  /** The smallest committed offset of the groups that commit to the log. */
  private readTo(partition: Partition): number {
    const committed = [...this.groups.values()].map((group) => group.committedOffset(partition));
    return Math.min(partition.end, ...committed.filter((offset) => offset !== undefined));
  }

  private async offsetAt(partition: Partition, timeMs: number): Promise<number> {
    const { rows } = await this.engine.query(
      'select min(base_offset) as first from log_chunks where topic_id = $1 and partition = $2 and appended_ms >= $3',
      [partition.topic.id, partition.index, timeMs],
    );
    const first = rows[0]?.['first'];
    return first === null || first === undefined ? partition.end : Number(first);
  }

  private writesOf(outputs: { topic: string; records: NewRecord[] }[]): Write[] {
    return outputs.flatMap(({ topic, records }) => {
      const partitions = this.partitionsOf(topic);
      const writes = new Map<Partition, Write>();
      for (const record of records) {
        const bytes = recordBytes(record);
        if (bytes > MAX_RECORD_BYTES)
          throw new Error(`event log record: at most ${MAX_RECORD_BYTES} bytes, got ${bytes}`);
        const partition = partitions[record.partition ?? this.partitionOf({ topic, key: record.key })];
        if (partition === undefined)
          throw new Error(`event log: a partition of ${topic}, got ${record.partition}`);
        const write = writes.get(partition) ?? { partition, records: [], bytes: 0 };
        writes.set(partition, write);
        write.records.push(record);
        write.bytes += bytes;
      }
      return [...writes.values()];
    });
  }

  private group(name: string): ConsumerGroup {
    let group = this.groups.get(name);
    if (group === undefined) {
      const options = {
        ...this.options,
        offsetAt: this.offsetAt.bind(this),
        writesOf: this.writesOf.bind(this),
      };
      group = new ConsumerGroup(name, (topic) => this.partitionsOf(topic), this.groupCommit, options);
      for (const [partition, offset] of this.restored.get(name) ?? [])
        group.restoreCommitted(partition, offset);
      this.groups.set(name, group);
    }
    return group;
  }

  private partitionsOf(topic: string): Partition[] {
    const partitions = this.topics.get(topic);
    if (partitions === undefined)
      throw new Error(`event log: a known topic, got ${topic} (ensureTopics creates topics)`);
    return partitions;
  }

  private partitionAt({ topic, partition: index }: TopicPartition): Partition {
    const partition = this.partitionsOf(topic)[index];
    if (partition === undefined) throw new Error(`event log: a partition of ${topic}, got ${index}`);
    return partition;
  }

  private async load(): Promise<void> {
    const { rows: topics } = await this.engine.query('select * from log_topics order by id');
    const { rows: ends } = await this.engine.query(
      'select topic_id, partition, max(next_offset) as end from log_chunks group by topic_id, partition',
    );
    for (const row of topics.filter(({ topic }) => !this.topics.has(topic as string))) {
      const topic: Topic = {
        id: row['id'] as number,
        name: row['topic'] as string,
        partitions: row['partitions'] as number,
        retentionMs: Number(row['retention_ms']),
        compacted: row['compacted'] as boolean,
      };
      const endOf = (index: number) =>
        Number(ends.find((e) => e['topic_id'] === topic.id && e['partition'] === index)?.['end'] ?? 0);
      const partitions = Array.from(
        { length: topic.partitions },
        (_, i) => new Partition(topic, i, endOf(i), this.engine),
      );
      this.topics.set(topic.name, partitions);
      await this.loadOffsets(topic, partitions);
    }
  }

  private async loadOffsets(topic: Topic, partitions: Partition[]): Promise<void> {
    const { rows } = await this.engine.query('select * from log_offsets where topic_id = $1', [topic.id]);
    for (const row of rows) {
      const name = row['group_name'] as string;
      const offsets = this.restored.get(name) ?? new Map<Partition, number>();
      this.restored.set(
        name,
        offsets.set(partitions[row['partition'] as number] as Partition, Number(row['next_offset'])),
      );
    }
  }
}

/** FNV-1a, 32 bits: keys spread evenly, and the same key goes to the same partition in every run. */
function hash(key: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
