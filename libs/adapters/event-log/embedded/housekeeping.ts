import type { StoredRecord } from '../event-log.js';
import { decodeChunk, encodeRecords, type LogEngine } from './log-tables.js';
import type { Partition } from './partition.js';

/** Records younger than this are not compacted, so that a reader at the end still sees tombstones. */
export const COMPACTION_LAG_MS = 60_000;
/** Rows that make a compaction worth its cost. */
const MIN_COMPACTION_CHUNKS = 64;
/** Rows merged in one transaction. */
const MAX_COMPACTION_CHUNKS = 10_000;
/** Records of a chunk that compaction writes. */
const COMPACTED_CHUNK_RECORDS = 2_000;

/** Drops records past their retention; the newest chunk stays, because it holds the partition's end. */
export async function dropExpired(
  engine: LogEngine,
  partition: Partition,
  bounds: { nowMs: number; readTo: number },
): Promise<void> {
  await engine.query(
    `delete from log_chunks where topic_id = $1 and partition = $2 and appended_ms < $3 and next_offset <= $4
       and next_offset < (select max(next_offset) from log_chunks where topic_id = $1 and partition = $2)`,
    [partition.topic.id, partition.index, bounds.nowMs - partition.topic.retentionMs, bounds.readTo],
  );
}

/** Keeps the last record of every key (and no tombstone) among the records older than the lag. Offsets stay. */
export async function compact(
  engine: LogEngine,
  partition: Partition,
  bounds: { nowMs: number },
): Promise<void> {
  const { rows } = await engine.query(
    `select base_offset, next_offset, appended_ms, records from log_chunks
     where topic_id = $1 and partition = $2 and appended_ms < $3 and next_offset < $4 order by base_offset limit $5`,
    [
      partition.topic.id,
      partition.index,
      bounds.nowMs - COMPACTION_LAG_MS,
      partition.end,
      MAX_COMPACTION_CHUNKS,
    ],
  );
  if (rows.length < MIN_COMPACTION_CHUNKS) return;
  const chunks = rows.map(decodeChunk);
  const latest = new Map<string, StoredRecord>();
  for (const record of chunks.flatMap(({ records }) => records)) {
    latest.delete(record.key);
    if (record.value !== null) latest.set(record.key, record);
  }
  const place = [partition.topic.id, partition.index];
  const first = chunks[0]?.baseOffset as number;
  const after = chunks.at(-1)?.nextOffset as number;
  const statements = [
    {
      sql: 'delete from log_chunks where topic_id = $1 and partition = $2 and base_offset >= $3 and next_offset <= $4',
      params: [...place, first, after],
    },
    ...rewrite([...latest.values()], { first, after }).map(({ base, next, records }) => ({
      sql: `insert into log_chunks (topic_id, partition, base_offset, next_offset, appended_ms, records)
            values ($1, $2, $3, $4, $5, $6)`,
      params: [
        ...place,
        base,
        next,
        records.at(-1)?.timestampMs ?? chunks[0]?.appendedMs,
        encodeRecords(records, base),
      ],
    })),
  ];
  await engine.atomic(statements);
}

/** Splits the survivors into chunks that together span [first, after), as the rows they replace did. */
function rewrite(records: StoredRecord[], span: { first: number; after: number }) {
  const pieces: { base: number; next: number; records: StoredRecord[] }[] = [];
  let base = span.first;
  for (let i = 0; i === 0 || i < records.length; i += COMPACTED_CHUNK_RECORDS) {
    const piece = records.slice(i, i + COMPACTED_CHUNK_RECORDS);
    const following = records[i + COMPACTED_CHUNK_RECORDS];
    const next = following?.offset ?? span.after;
    pieces.push({ base, next, records: piece });
    base = next;
  }
  return pieces;
}
