import type { StoredRecord, TopicPartition, TopicSpec } from '../event-log.js';
import { decodeChunk, recordBytes, type Chunk, type LogEngine } from './log-tables.js';

/** Recent records of a partition are kept in memory up to this size, so that readers at the end need no query. */
const TAIL_BYTES = 4 * 1024 * 1024;
/** Of one query when a reader is behind the tail; the row that reaches the bytes is the last. */
const CHUNKS_PER_QUERY = 256;
const BYTES_PER_QUERY = 4 * 1024 * 1024;
/** Of one read; the record that reaches it is the last. */
export const MAX_READ_BYTES = 4 * 1024 * 1024;

export interface Topic extends TopicSpec {
  id: number;
}

/** What is durable of one partition: its end, the newest chunks, and who waits for more. */
export class Partition {
  private tail: Chunk[] = [];
  private tailBytes = 0;
  private waiting = new Set<() => void>();

  constructor(
    readonly topic: Topic,
    readonly index: number,
    /** Next offset to be written. */
    public end: number,
    private readonly engine: LogEngine,
  ) {}

  /** Makes a committed chunk visible. */
  append(chunk: Chunk): void {
    this.end = chunk.nextOffset;
    this.tail.push(chunk);
    this.tailBytes += chunk.bytes;
    while (this.tailBytes > TAIL_BYTES && this.tail.length > 1)
      this.tailBytes -= (this.tail.shift() as Chunk).bytes;
    const waiting = this.waiting;
    this.waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Resolves after the next append; at once when the signal aborts, or has. */
  changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.waiting.delete(wake);
        resolve();
      };
      this.waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  /** Up to maxRecords records, and {@link MAX_READ_BYTES}, from the first one at or after the offset; empty at the end. */
  async read(offset: number, maxRecords: number): Promise<StoredRecord[]> {
    let from = offset;
    while (from < this.end) {
      const chunks = this.holds(from) ? this.tail : await this.fetch(from, maxRecords);
      const records = take(chunks, { offset: from, maxRecords });
      const last = chunks.at(-1);
      if (records.length > 0 || last === undefined) return records;
      // Compaction leaves chunks that hold less than they span, at worst nothing.
      from = last.nextOffset;
    }
    return [];
  }

  /** When the first record at or after the offset was appended, epoch ms; undefined at the end. Reads no record. */
  async appendedMs(offset: number): Promise<number | undefined> {
    if (offset >= this.end) return undefined;
    if (this.holds(offset)) return this.tail[firstChunk(this.tail, offset)]?.appendedMs;
    const { rows } = await this.engine.query(
      `select appended_ms from log_chunks where topic_id = $1 and partition = $2 and next_offset > $3 and base_offset >= coalesce((
         select max(base_offset) from log_chunks where topic_id = $1 and partition = $2 and base_offset <= $3), 0)
       order by base_offset limit 1`,
      [this.topic.id, this.index, offset],
    );
    return rows[0] === undefined ? undefined : Number(rows[0]['appended_ms']);
  }

  /** Whether the records from the offset on are in memory. */
  private holds(offset: number): boolean {
    const first = this.tail[0];
    return first !== undefined && offset >= first.baseOffset;
  }

  /** The chunks that hold the records asked for, and no others: their text is what a query costs. */
  private async fetch(offset: number, maxRecords: number): Promise<Chunk[]> {
    const { rows } = await this.engine.query(
      `with reached as (
         select base_offset,
           sum(next_offset - base_offset) over (order by base_offset) - next_offset + base_offset as before,
           sum(bytes) over (order by base_offset) - bytes as bytes_before
         from (
           select base_offset, next_offset, octet_length(records) as bytes from log_chunks
           where topic_id = $1 and partition = $2 and next_offset > $3 and base_offset >= coalesce((
             select max(base_offset) from log_chunks where topic_id = $1 and partition = $2 and base_offset <= $3), 0)
           order by base_offset limit $4) as following)
       select chunk.base_offset, next_offset, appended_ms, records from log_chunks as chunk
       join reached on reached.base_offset = chunk.base_offset
       where topic_id = $1 and partition = $2 and before < $5 and bytes_before < $6 order by chunk.base_offset`,
      [this.topic.id, this.index, offset, CHUNKS_PER_QUERY, maxRecords, BYTES_PER_QUERY],
    );
    return rows.map(decodeChunk);
  }
}

export function toTopicPartition(partition: Partition): TopicPartition {
  return { topic: partition.topic.name, partition: partition.index };
}

function take(
  chunks: Chunk[],
  { offset, maxRecords }: { offset: number; maxRecords: number },
): StoredRecord[] {
  const records: StoredRecord[] = [];
  let bytes = 0;
  for (let i = firstChunk(chunks, offset); i < chunks.length; i++) {
    for (const record of (chunks[i] as Chunk).records) {
      if (record.offset < offset) continue;
      if (records.length >= maxRecords || bytes >= MAX_READ_BYTES) return records;
      records.push(record);
      bytes += recordBytes(record);
    }
  }
  return records;
}

/** Index of the first chunk that ends after the offset. */
function firstChunk(chunks: Chunk[], offset: number): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((chunks[middle] as Chunk).nextOffset <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
