import type { NewRecord, StoredRecord } from '../event-log.js';

/** The engine under the log: PostgreSQL's dialect, several statements in one transaction. */
export interface LogEngine {
  query(sql: string, params?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
  atomic(statements: { sql: string; params?: unknown[] }[]): Promise<unknown>;
}

/** Each after those that it refers to. */
export const LOG_TABLE_NAMES = ['log_identity', 'log_topics', 'log_chunks', 'log_offsets'] as const;

/**
 * One row holds the consecutive records of one partition that were committed together. `records` is text, stored
 * outside the row: bytea and jsonb cost five to ten times as much in this engine.
 */
export const LOG_TABLES = `
  create table if not exists log_identity (id text primary key);
  create table if not exists log_topics (
    id int generated always as identity primary key,
    topic text not null unique,
    partitions int not null,
    retention_ms bigint not null,
    compacted boolean not null
  );
  create table if not exists log_chunks (
    topic_id int not null references log_topics,
    partition int not null,
    base_offset bigint not null,
    next_offset bigint not null,
    appended_ms bigint not null,
    records text not null,
    primary key (topic_id, partition, base_offset)
  );
  alter table log_chunks alter column records set storage external;
  create table if not exists log_offsets (
    group_name text not null,
    topic_id int not null references log_topics,
    partition int not null,
    next_offset bigint not null,
    primary key (group_name, topic_id, partition)
  )`;

/** Records with their offsets; offsets may have holes after compaction. `nextOffset` follows the last of them. */
export interface Chunk {
  baseOffset: number;
  nextOffset: number;
  appendedMs: number;
  records: StoredRecord[];
  bytes: number;
}

/** What a record takes, without what is the same for all. */
export function recordBytes({ key, value, headers = {} }: NewRecord): number {
  let bytes = Buffer.byteLength(key) + (value === null ? 0 : Buffer.byteLength(value));
  for (const [name, text] of Object.entries(headers))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(text);
  return bytes;
}

type Row = [
  key: string,
  value: string | null,
  offsetFromBase: number,
  timestampMs: number,
  headers?: Record<string, string>,
];

export function encodeRecords(records: StoredRecord[], baseOffset: number): string {
  return JSON.stringify(
    records.map(({ key, value, offset, timestampMs, headers }): Row => {
      const row: Row = [key, value, offset - baseOffset, timestampMs];
      if (Object.keys(headers).length > 0) row.push(headers);
      return row;
    }),
  );
}

export function decodeChunk(row: Record<string, unknown>): Chunk {
  const text = row['records'] as string;
  const baseOffset = Number(row['base_offset']);
  const records = (JSON.parse(text) as Row[]).map(([key, value, offset, timestampMs, headers]) => ({
    key,
    value,
    headers: headers ?? {},
    offset: baseOffset + offset,
    timestampMs,
  }));
  const nextOffset = Number(row['next_offset']);
  return { baseOffset, nextOffset, appendedMs: Number(row['appended_ms']), records, bytes: text.length };
}
