import type { StoredRecord } from '../event-log.js';
import { decodeChunk, encodeRecords, type LogEngine } from './log-tables.js';
import type { Partition } from './partition.js';

/** Records younger than this are not compacted, so that a reader at the end sees every one of them. */
export const COMPACTION_LAG_MS = 60_000;
/** A tombstone stays this long after the last value of its key is gone: for readers that have met the value. */
export const TOMBSTONE_KEPT_MS = 10 * 60_000;
/** New rows that make a compaction worth its cost. */
const MIN_COMPACTION_CHUNKS = 64;
/** Rows of one round; older ones wait for the next, when the newer ones have become few. */
const MAX_COMPACTION_CHUNKS = 10_000;
/** Text that is read, and replaced in one transaction; one row may be more. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
/** Keys that are remembered during a round; with more of them the next round goes on. */
const MAX_KEYS = 1_000_000;
/** Records of a chunk that compaction writes. */
const COMPACTED_CHUNK_RECORDS = 2_000;

interface Compacted {
  /** Every chunk below was in a round. */
  to: number;
  /** Below, no key has had a second record since `sinceMs`: its tombstones guard nothing older in the log. */
  lonelyTo: number;
  sinceMs: number;
}

/** A round had more keys than it could remember. */
interface Unfinished {
  /** Of the whole: see {@link Compacted}. */
  to: number;
  /** The next round begins with the record here: the keys of newer ones are done with. */
  from: number;
}

/** Consecutive rows, by their offsets. */
interface Page {
  first: number;
  after: number;
}

/**
 * Keeps the last record of every key among the records older than the lag, at its offset; a tombstone for a while
 * longer. It goes from the newest rows to the oldest, so that it holds one page of records, and otherwise only keys.
 */
export class Compaction {
  private readonly compacted = new Map<Partition, Compacted>();
  private readonly unfinished = new Map<Partition, Unfinished>();

  constructor(
    private readonly engine: LogEngine,
    private readonly maxKeys = MAX_KEYS,
  ) {}

  /** One round. One that fails half-way has lost nothing: every page is replaced by itself. */
  async run(partition: Partition, { nowMs }: { nowMs: number }): Promise<void> {
    const before = this.compacted.get(partition);
    const unfinished = this.unfinished.get(partition);
    const from = unfinished?.from ?? Number.MAX_SAFE_INTEGER;
    const rows = await this.rowsOf(partition, { nowMs, from });
    const newest = rows[0];
    const added = rows.filter(({ first }) => first >= (before?.to ?? 0)).length;
    if (newest === undefined || (unfinished === undefined && added < MIN_COMPACTION_CHUNKS)) return;
    const isDue = before !== undefined && nowMs - before.sinceMs >= TOMBSTONE_KEPT_MS;
    const keys = new LastOfKeys({ from, tombstonesFrom: isDue ? before.lonelyTo : 0, maxKeys: this.maxKeys });
    for (const page of pagesOf(rows)) await this.replace(partition, page, keys);
    this.unfinished.delete(partition);
    if (rows.length === MAX_COMPACTION_CHUNKS) return;
    const to = unfinished?.to ?? newest.after;
    if (keys.goesOnFrom !== undefined) {
      this.unfinished.set(partition, { to, from: keys.goesOnFrom });
      return;
    }
    const waits = before !== undefined && !isDue;
    this.compacted.set(partition, waits ? { ...before, to } : { to, lonelyTo: to, sinceMs: nowMs });
  }

  /** Newest first. */
  private async rowsOf(
    { topic, index, end }: Partition,
    { nowMs, from }: { nowMs: number; from: number },
  ): Promise<(Page & { bytes: number })[]> {
    const { rows } = await this.engine.query(
      `select base_offset, next_offset, octet_length(records) as bytes from log_chunks
       where topic_id = $1 and partition = $2 and next_offset < $4 and base_offset <= $6 and base_offset <= (
         select max(base_offset) from log_chunks where topic_id = $1 and partition = $2 and appended_ms < $3)
       order by base_offset desc limit $5`,
      [topic.id, index, nowMs - COMPACTION_LAG_MS, end, MAX_COMPACTION_CHUNKS, from],
    );
    return rows.map((row) => ({
      first: Number(row['base_offset']),
      after: Number(row['next_offset']),
      bytes: Number(row['bytes']),
    }));
  }

  private async replace(
    { topic, index }: Partition,
    { first, after }: Page,
    keys: LastOfKeys,
  ): Promise<void> {
    const place = [topic.id, index, first, after];
    const within = 'topic_id = $1 and partition = $2 and base_offset >= $3 and next_offset <= $4';
    const { rows } = await this.engine.query(
      `select base_offset, next_offset, appended_ms, records from log_chunks where ${within} order by base_offset`,
      place,
    );
    const chunks = rows.map(decodeChunk);
    const records = chunks.flatMap((chunk) => chunk.records);
    const kept = records
      .toReversed()
      .filter((record) => keys.keeps(record))
      .toReversed();
    const pieces = rewrite(kept, { first, after });
    if (kept.length === records.length && pieces.length >= chunks.length) return;
    const insert = pieces.map((piece) => ({
      sql: `insert into log_chunks (topic_id, partition, base_offset, next_offset, appended_ms, records)
            values ($1, $2, $3, $4, $5, $6)`,
      params: [
        topic.id,
        index,
        piece.first,
        piece.after,
        piece.records.at(-1)?.timestampMs ?? chunks[0]?.appendedMs,
        encodeRecords(piece.records, piece.first),
      ],
    }));
    await this.engine.atomic([{ sql: `delete from log_chunks where ${within}`, params: place }, ...insert]);
  }
}

/** Asked from the newest record to the oldest: whether it stays. */
class LastOfKeys {
  /** The newest record whose key was one too many to be remembered; such records stay for now. */
  goesOnFrom: number | undefined;
  private readonly seen = new Set<string>();

  constructor(
    private readonly given: {
      /** Newer records stay. */
      from: number;
      /** Older tombstones go. */
      tombstonesFrom: number;
      maxKeys: number;
    },
  ) {}

  keeps({ key, value, offset }: StoredRecord): boolean {
    const { from, tombstonesFrom, maxKeys } = this.given;
    if (offset > from) return true;
    if (this.seen.has(key)) return false;
    if (this.seen.size === maxKeys) {
      this.goesOnFrom ??= offset;
      return true;
    }
    this.seen.add(key);
    return value !== null || offset >= tombstonesFrom;
  }
}

/** Splits rows, newest first, into pages, newest first. */
function pagesOf(rows: (Page & { bytes: number })[]): Page[] {
  const pages: (Page & { bytes: number })[] = [];
  for (const row of rows) {
    const page = pages.at(-1);
    if (page === undefined || page.bytes + row.bytes > MAX_PAGE_BYTES) pages.push({ ...row });
    else Object.assign(page, { first: row.first, bytes: page.bytes + row.bytes });
  }
  return pages;
}

/** Splits the survivors into chunks that together span the page, as the rows they replace did. */
function rewrite(records: StoredRecord[], span: Page): (Page & { records: StoredRecord[] })[] {
  const pieces: (Page & { records: StoredRecord[] })[] = [];
  let first = span.first;
  for (let i = 0; i === 0 || i < records.length; i += COMPACTED_CHUNK_RECORDS) {
    const piece = records.slice(i, i + COMPACTED_CHUNK_RECORDS);
    const after = records[i + COMPACTED_CHUNK_RECORDS]?.offset ?? span.after;
    pieces.push({ first, after, records: piece });
    first = after;
  }
  return pieces;
}
