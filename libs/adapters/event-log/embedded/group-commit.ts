import { LogOverloaded, type NewRecord } from '../event-log.js';
import { encodeRecords, type Chunk, type LogEngine } from './log-tables.js';
import type { Partition } from './partition.js';

/** What waits to be written or is being; beyond this `append` is refused, so that a slow disk cannot fill the memory. */
export const MAX_PENDING_BYTES = 64 * 1024 * 1024;
/** A larger record is refused, as Kafka's default does. */
export const MAX_RECORD_BYTES = 1024 * 1024;
/** Of one transaction; the step that reaches either is the last of its group. */
const MAX_GROUP_RECORDS = 5_000;
const MAX_GROUP_BYTES = 8 * 1024 * 1024;

export interface Write {
  partition: Partition;
  records: NewRecord[];
  bytes: number;
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
    let [records, bytes, count] = [0, 0, 0];
    while (count < this.pending.length && records < MAX_GROUP_RECORDS && bytes < MAX_GROUP_BYTES) {
      const step = this.pending[count++] as Pending;
      records += step.records;
      bytes += step.bytes;
    }
    return this.pending.splice(0, count);
  }

  private async write(group: Pending[]): Promise<void> {
    const owned = new Set(group.filter((step) => step.stillOwner()));
    const error = await this.writeOwned([...owned]).then(
      () => undefined,
      (failure: Error) => failure,
    );
    // In the order handed in, at once: the last one stands for all before it.
    for (const step of group) {
      this.pendingBytes -= step.bytes;
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
  const total = { records: 0, bytes: 0 };
  for (const { records, bytes } of writes) {
    total.records += records.length;
    total.bytes += bytes;
  }
  return total;
}

function formChunks(group: Pending[], nowMs: number): Map<Partition, Chunk> {
  const chunks = new Map<Partition, Chunk>();
  for (const { partition, records, bytes } of group.flatMap((step) => step.writes)) {
    if (records.length === 0) continue;
    const { end } = partition;
    const empty: Chunk = { baseOffset: end, nextOffset: end, appendedMs: nowMs, records: [], bytes: 0 };
    const chunk = chunks.get(partition) ?? empty;
    chunks.set(partition, chunk);
    chunk.bytes += bytes;
    for (const { key, value, headers = {} } of records)
      chunk.records.push({ key, value, headers, offset: chunk.nextOffset++, timestampMs: nowMs });
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
