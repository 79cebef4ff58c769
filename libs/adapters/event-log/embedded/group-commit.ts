import { LogOverloaded, type NewRecord, type StoredRecord } from '../event-log.js';
import { encodeRecords, type Chunk, type LogEngine } from './log-tables.js';
import type { Partition } from './partition.js';

/** Records that wait to be written; beyond this `append` is refused, so that a slow disk cannot fill the memory. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;
/** A larger record is refused, as Kafka's default does. */
export const MAX_RECORD_BYTES = 1024 * 1024;
/** Records of one transaction. */
const MAX_GROUP_RECORDS = 5_000;

export interface Write {
  partition: Partition;
  records: NewRecord[];
}

export interface OffsetCommit {
  group: string;
  partition: Partition;
  offset: number;
  /** Called in the transaction's critical section. */
  apply(): void;
}

interface Pending {
  writes: Write[];
  offsets: OffsetCommit[];
  /** Asked when its group is formed: false = somebody else owns the partitions by now. */
  stillOwner: () => boolean;
  records: number;
  bytes: number;
  resolve: (outcome: 'committed' | 'fenced') => void;
  reject: (error: Error) => void;
}

/**
 * Everything that is appended or committed within a few milliseconds becomes one transaction: one sync of the disk
 * serves all of it.
 */
export class GroupCommit {
  private pending: Pending[] = [];
  private pendingBytes = 0;
  private flushing: Promise<void> | undefined;
  /** Settles with the last step that was handed in, and so after every one before it. Never rejects. */
  private last: Promise<unknown> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly engine: LogEngine,
    private readonly options: { maxDelayMs: number; maxDelayRecords: number; nowMs: () => number },
  ) {}

  /** Resolves when durable and visible. Rejects with {@link LogOverloaded}, or with the engine's error. */
  commit(step: Pick<Pending, 'writes' | 'offsets' | 'stillOwner'>): Promise<'committed' | 'fenced'> {
    const { records, bytes } = measure(step.writes);
    if (this.pendingBytes + bytes > MAX_PENDING_BYTES) {
      const message = `event log: at most ${MAX_PENDING_BYTES} bytes may wait to be written, ${this.pendingBytes} do (send again later)`;
      return Promise.reject(new LogOverloaded(message));
    }
    const committed = new Promise<'committed' | 'fenced'>((resolve, reject) => {
      this.pending.push({ ...step, records, bytes, resolve, reject });
      this.pendingBytes += bytes;
      this.schedule();
    });
    this.last = committed.catch(() => undefined); // whoever handed it in is told
    return committed;
  }

  /** Resolves when everything handed in so far is written or refused, whatever is handed in meanwhile. */
  async settled(): Promise<void> {
    await this.last;
  }

  private schedule(): void {
    if (this.flushing !== undefined) return;
    const records = this.pending.reduce((sum, { records }) => sum + records, 0);
    if (records >= this.options.maxDelayRecords) void this.flush();
    else this.timer ??= setTimeout(() => void this.flush(), this.options.maxDelayMs);
  }

  private flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.flushing ??= this.write(this.takeGroup()).finally(() => {
      this.flushing = undefined;
      if (this.pending.length > 0) this.schedule();
    });
    return this.flushing;
  }

  private takeGroup(): Pending[] {
    let records = 0;
    let count = 0;
    while (count < this.pending.length && (count === 0 || records < MAX_GROUP_RECORDS)) {
      records += (this.pending[count++] as Pending).records;
    }
    const group = this.pending.splice(0, count);
    for (const { bytes } of group) this.pendingBytes -= bytes;
    return group;
  }

  private async write(group: Pending[]): Promise<void> {
    const owned = new Set(group.filter((step) => step.stillOwner()));
    const error = await this.writeOwned([...owned]).then(
      () => undefined,
      (failure: Error) => failure,
    );
    // In the order handed in, at once: the last one stands for all before it.
    for (const step of group) {
      if (!owned.has(step)) step.resolve('fenced');
      else if (error === undefined) step.resolve('committed');
      else step.reject(error);
    }
  }

  private async writeOwned(owned: Pending[]): Promise<void> {
    const nowMs = this.options.nowMs();
    const chunks = formChunks(owned, nowMs);
    const offsets = lastOffsets(owned);
    const statements = [...insertChunks(chunks), ...upsertOffsets(offsets)];
    if (statements.length > 0) await this.engine.atomic(statements);
    for (const [partition, chunk] of chunks) partition.append(chunk);
    for (const offset of offsets) offset.apply();
  }
}

function measure(writes: Write[]): { records: number; bytes: number } {
  let records = 0;
  let bytes = 0;
  for (const write of writes) {
    records += write.records.length;
    for (const { key, value } of write.records) bytes += key.length + (value?.length ?? 0);
  }
  return { records, bytes };
}

function formChunks(group: Pending[], nowMs: number): Map<Partition, Chunk> {
  const records = new Map<Partition, StoredRecord[]>();
  for (const { partition, records: added } of group.flatMap((step) => step.writes)) {
    const list = records.get(partition) ?? [];
    records.set(partition, list);
    for (const { key, value, headers = {} } of added) {
      list.push({ key, value, headers, offset: partition.end + list.length, timestampMs: nowMs });
    }
  }
  const chunks = new Map<Partition, Chunk>();
  for (const [partition, list] of records) {
    if (list.length === 0) continue;
    const bytes = list.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
    const nextOffset = partition.end + list.length;
    chunks.set(partition, { baseOffset: partition.end, nextOffset, appendedMs: nowMs, records: list, bytes });
  }
  return chunks;
}

/** A member may commit a partition twice within one group; the statement must name it once. */
function lastOffsets(group: Pending[]): OffsetCommit[] {
  const last = new Map<string, OffsetCommit>();
  for (const offset of group.flatMap((step) => step.offsets)) {
    last.set(`${offset.group}\n${offset.partition.topic.id}\n${offset.partition.index}`, offset);
  }
  return [...last.values()];
}

function insertChunks(chunks: Map<Partition, Chunk>) {
  if (chunks.size === 0) return [];
  const params = [...chunks].flatMap(([partition, { baseOffset, nextOffset, appendedMs, records }]) => {
    return [
      partition.topic.id,
      partition.index,
      baseOffset,
      nextOffset,
      appendedMs,
      encodeRecords(records, baseOffset),
    ];
  });
  const columns = 'topic_id, partition, base_offset, next_offset, appended_ms, records';
  return [{ sql: `insert into log_chunks (${columns}) values ${placeholders(params.length, 6)}`, params }];
}

function upsertOffsets(offsets: OffsetCommit[]) {
  if (offsets.length === 0) return [];
  const params = offsets.flatMap(({ group, partition, offset }) => [
    group,
    partition.topic.id,
    partition.index,
    offset,
  ]);
  const sql = `insert into log_offsets (group_name, topic_id, partition, next_offset) values ${placeholders(params.length, 4)}
    on conflict (group_name, topic_id, partition) do update set next_offset = excluded.next_offset`;
  return [{ sql, params }];
}

function placeholders(count: number, perRow: number): string {
  const rows = Array.from({ length: count / perRow }, (_, row) => {
    return `(${Array.from({ length: perRow }, (_, column) => `$${row * perRow + column + 1}`).join(', ')})`;
  });
  return rows.join(', ');
}
