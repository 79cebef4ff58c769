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
/** One batch, unpacked. A producer's batch is a megabyte by default; this stops one that was made to exhaust memory. */
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
}

/**
 * The committed records of a fetched piece of a partition, from an offset on. The list of aborted transactions is the
 * broker's, in any order: it lists them as they ended, and several may overlap.
 */
export function decodeBatches(
  bytes: Buffer,
  given: { from: number; aborted?: AbortedTransaction[]; maxRecords?: number },
): DecodedBatches {
  const { from, aborted = [], maxRecords = Infinity } = given;
  const isAborted = abortedFilter(aborted);
  const records: StoredRecord[] = [];
  let [nextOffset, unpackedBytes] = [from, 0];
  for (const batch of batchesIn(bytes)) {
    const counts = !isAborted(batch) && (batch.attributes & CONTROL) === 0;
    if (counts) unpackedBytes += readRecords(batch, { from, maxRecords }, records);
    if (records.length >= maxRecords)
      return { records, nextOffset: (records.at(-1) as StoredRecord).offset + 1, bytes: unpackedBytes };
    nextOffset = Math.max(nextOffset, batch.nextOffset);
  }
  return { records, nextOffset, bytes: unpackedBytes };
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

/** Returns how many bytes the batch was. */
function readRecords(
  batch: Batch,
  { from, maxRecords }: { from: number; maxRecords: number },
  into: StoredRecord[],
): number {
  const body = unpacked(batch);
  const cursor = new Cursor(body);
  const appendedMs = (batch.attributes & LOG_APPEND_TIME) === 0 ? undefined : batch.maxTimestampMs;
  for (let i = 0; i < batch.records && into.length < maxRecords; i++) {
    const length = cursor.varint();
    const end = cursor.at + length;
    cursor.skip(1);
    const timestampMs = batch.firstTimestampMs + cursor.varlong();
    const offset = batch.firstOffset + cursor.varint();
    if (offset >= from) {
      const key = cursor.text() ?? '';
      const value = cursor.text();
      into.push({ key, value, headers: headersAt(cursor), offset, timestampMs: appendedMs ?? timestampMs });
    }
    cursor.moveTo(end);
  }
  return body.length;
}

/** Of a header that comes more than once, the last counts, as for Kafka's own consumer. */
function headersAt(cursor: Cursor): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let left = cursor.varint(); left > 0; left--) {
    const name = cursor.text() ?? '';
    headers[name] = cursor.text() ?? '';
  }
  return headers;
}

function unpacked({ attributes, body }: Batch): Buffer {
  const codec = CODECS[attributes & CODEC_MASK];
  if (codec === 'none') return body;
  if (codec === 'gzip') return gunzipSync(body, { maxOutputLength: MAX_UNPACKED_BYTES });
  if (codec === 'zstd') return zstdDecompressSync(body, { maxOutputLength: MAX_UNPACKED_BYTES });
  throw new UnreadableCompression(codec ?? `number ${attributes & CODEC_MASK}`);
}

/** Records are compressed in a way that nothing here can unpack. */
export class UnreadableCompression extends Error {
  override name = 'UnreadableCompression';

  constructor(codec: string) {
    super(
      `Kafka: records must be compressed by gzip or zstd, or not at all, got ${codec} (hint: set the topic's compression.type to zstd, then the broker compresses anew)`,
    );
  }
}
