import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { StoredRecord } from '../event-log.js';
import { Cursor } from './cursor.js';

/** The only record format that Kafka 4 stores. */
const FORMAT = 2;
/** Offset and length, which come before everything the length counts. */
const BATCH_PREFIX_BYTES = 12;
const CODEC_MASK = 0x07;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const LOG_APPEND_TIME = 0x08;
const ABORT_MARKER = 0;
/**
 * One batch, unpacked. A producer's batch is a megabyte by default; this stops one that was made to exhaust memory.
 * Brokers bound what is sent alone.
 */
const MAX_UNPACKED_BYTES = 64 * 1024 * 1024;

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

/** A transaction that was rolled back: its records count for nothing. */
export interface AbortedTransaction {
  producerId: bigint;
  firstOffset: number;
}

interface Batch {
  firstOffset: number;
  nextOffset: number;
  attributes: number;
  producerId: bigint;
  firstTimestampMs: number;
  maxTimestampMs: number;
  records: number;
  body: Buffer;
}

export interface DecodedBatches {
  records: StoredRecord[];
  /** Where to go on: behind all that was decoded, records that count for nothing included. */
  nextOffset: number;
  /** What the records were, unpacked: compressed, a topic's records may be a hundred times as many. */
  bytes: number;
  /** What they took in the answer. */
  packedBytes: number;
}

/**
 * The committed records of a fetched piece of a partition, from an offset on. The list of aborted transactions is the
 * broker's, in any order: it lists them as they ended, and several may overlap. The batch that reaches `maxBytes`,
 * unpacked, is the last. One that cannot be read becomes one record that says so: what comes behind it must go on.
 */
export function decodeBatches(
  bytes: Buffer,
  given: { from: number; aborted?: AbortedTransaction[]; maxRecords?: number; maxBytes?: number },
): DecodedBatches {
  const { from, aborted = [], maxRecords = Infinity, maxBytes = Infinity } = given;
  const isAborted = abortedFilter(aborted);
  const records: StoredRecord[] = [];
  const decoded: DecodedBatches = { records, nextOffset: from, bytes: 0, packedBytes: 0 };
  for (const batch of batchesIn(bytes)) {
    if (!isAborted(batch) && (batch.attributes & CONTROL) === 0) {
      decoded.bytes += readWhatCan(batch, { from, maxRecords }, records);
      decoded.packedBytes += batch.body.length;
    }
    const isFull = records.length >= maxRecords;
    decoded.nextOffset = isFull
      ? (records.at(-1) as StoredRecord).offset + 1
      : Math.max(decoded.nextOffset, batch.nextOffset);
    if (isFull || decoded.bytes >= maxBytes) break;
  }
  return decoded;
}

/** Asked for every batch in its order. A producer's records count for nothing until its abort marker has come. */
function abortedFilter(aborted: AbortedTransaction[]): (batch: Batch) => boolean {
  const begun = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const aborting = new Set<bigint>();
  let next = 0;
  return (batch) => {
    for (; (begun[next]?.firstOffset ?? Infinity) < batch.nextOffset; next++)
      aborting.add((begun[next] as AbortedTransaction).producerId);
    if ((batch.attributes & CONTROL) !== 0) {
      if (markerOf(batch) === ABORT_MARKER) aborting.delete(batch.producerId);
      return false;
    }
    return (batch.attributes & TRANSACTIONAL) !== 0 && aborting.has(batch.producerId);
  };
}

/** The whole batches; the last one of a fetch may be cut off. */
function* batchesIn(bytes: Buffer): Generator<Batch> {
  let at = 0;
  while (at + BATCH_PREFIX_BYTES <= bytes.length) {
    const cursor = new Cursor(bytes, at);
    const firstOffset = cursor.int64();
    const end = at + BATCH_PREFIX_BYTES + cursor.int32();
    if (end > bytes.length) return;
    cursor.skip(4); // leader epoch
    const format = cursor.int8();
    if (format !== FORMAT) throw new Error(`Kafka: record format must be ${FORMAT}, got ${format}`);
    cursor.skip(4); // checksum: TCP and the broker have checked
    const attributes = cursor.int16();
    const nextOffset = firstOffset + cursor.int32() + 1;
    const firstTimestampMs = cursor.int64();
    const maxTimestampMs = cursor.int64();
    const producerId = cursor.bigInt64();
    cursor.skip(2 + 4); // producer epoch, first sequence
    const records = cursor.int32();
    const body = bytes.subarray(cursor.at, end);
    yield {
      firstOffset,
      nextOffset,
      attributes,
      producerId,
      firstTimestampMs,
      maxTimestampMs,
      records,
      body,
    };
    at = end;
  }
}

/** What a control batch says of the transaction it ends: the second number of its record's key. */
function markerOf({ body }: Batch): number {
  const cursor = new Cursor(body);
  cursor.varint();
  cursor.skip(1);
  cursor.varlong();
  cursor.varint();
  cursor.varint();
  cursor.skip(2);
  return cursor.int16();
}

interface Wanted {
  from: number;
  maxRecords: number;
}

/** Returns how many bytes the batch was. */
function readWhatCan(batch: Batch, wanted: Wanted, into: StoredRecord[]): number {
  const before = into.length;
  try {
    return readRecords(batch, wanted, into);
  } catch (error) {
    if (isWantOfMemory(error as NodeJS.ErrnoException)) throw error;
    into.length = before;
    into.push(unreadable(batch, error as Error));
    return batch.body.length;
  }
}

/** It passes, and says nothing of the batch. */
function isWantOfMemory({ code = '', message }: NodeJS.ErrnoException): boolean {
  return /Z_MEM_ERROR|allocation/i.test(`${code} ${message}`);
}

function unreadable(
  { firstOffset, nextOffset, maxTimestampMs: timestampMs }: Batch,
  { message }: Error,
): StoredRecord {
  const offset = nextOffset - 1;
  const why = `records ${firstOffset} to ${offset}: ${message}`;
  return { key: '', value: '', headers: {}, offset, timestampMs, isPart: true, unreadable: why };
}

function readRecords(batch: Batch, { from, maxRecords }: Wanted, into: StoredRecord[]): number {
  const bytes = unpacked(batch);
  const cursor = new Cursor(bytes);
  const appendedMs = (batch.attributes & LOG_APPEND_TIME) === 0 ? undefined : batch.maxTimestampMs;
  for (let i = 0; i < batch.records && into.length < maxRecords; i++) {
    const length = cursor.varint();
    const end = cursor.at + length;
    cursor.skip(1);
    const timestampMs = batch.firstTimestampMs + cursor.varlong();
    const offset = batch.firstOffset + cursor.varint();
    if (offset >= from) into.push(new FetchedRecord(offset, appendedMs ?? timestampMs, bytes, cursor.at));
    cursor.moveTo(end);
  }
  return bytes.length;
}

/** A record in the bytes of its batch: what nobody looks at is not decoded. */
class FetchedRecord implements StoredRecord {
  constructor(
    readonly offset: number,
    readonly timestampMs: number,
    private readonly bytes: Buffer,
    /** Where its key is, and behind it the rest. */
    private readonly at: number,
  ) {}

  get key(): string {
    return new Cursor(this.bytes, this.at).text() ?? '';
  }

  get value(): string | null {
    return this.behindKey().text();
  }

  get utf8(): StoredRecord['utf8'] {
    const cursor = this.behindKey();
    const length = cursor.varint();
    if (length < 0) return undefined;
    return { bytes: this.bytes, from: cursor.at, to: cursor.at + length };
  }

  get headers(): Record<string, string> {
    return headersAt(this.behindValue()).headers;
  }

  get isPart(): true | undefined {
    return headersAt(this.behindValue()).isPart ? true : undefined;
  }

  private behindValue(): Cursor {
    const cursor = this.behindKey();
    cursor.skipText();
    return cursor;
  }

  private behindKey(): Cursor {
    const cursor = new Cursor(this.bytes, this.at);
    cursor.skipText();
    return cursor;
  }
}

/** Of a header that comes more than once, the last counts, as for Kafka's own consumer. */
function headersAt(cursor: Cursor): { headers: Record<string, string>; isPart: boolean } {
  const entries: [string, string][] = [];
  for (let left = cursor.varint(); left > 0; left--) entries.push([cursor.text() ?? '', cursor.text() ?? '']);
  // Not by assignment: a header may be named __proto__.
  const headers = Object.fromEntries(entries);
  return { headers, isPart: entries.length > 1 && Object.keys(headers).length < entries.length };
}

function unpacked({ attributes, body }: Batch): Buffer {
  const codec = CODECS[attributes & CODEC_MASK];
  if (codec === 'none') return body;
  if (codec === 'gzip') return gunzipSync(body, { maxOutputLength: MAX_UNPACKED_BYTES });
  if (codec === 'zstd') return zstdDecompressSync(body, { maxOutputLength: MAX_UNPACKED_BYTES });
  throw new Error(
    `must be compressed by gzip or zstd, or not at all, got ${codec ?? `number ${attributes & CODEC_MASK}`} (hint: set the topic's compression.type to zstd, then the broker compresses anew)`,
  );
}
