import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { decodeBatches } from './record-batches.js';

const GZIP = 1;
const SNAPPY = 2;
const ZSTD = 4;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
const TIME_MS = 1_760_000_000_000;

interface TestBatch {
  firstOffset: number;
  values: (string | null)[];
  attributes?: number;
  producerId?: number;
  /** Offsets from the first one; default 0, 1, 2 … Compaction leaves gaps. */
  deltas?: number[];
  headers?: [string, string][];
  format?: number;
}

/** A zigzag number of Kafka's, of up to 53 bits. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value < 0 ? -2 * value - 1 : 2 * value;
  while (left >= 0x80) {
    bytes.push((left % 0x80) + 0x80);
    left = Math.floor(left / 0x80);
  }
  return Buffer.from([...bytes, left]);
}

function text(value: string | Buffer | null): Buffer {
  if (value === null) return varint(-1);
  const bytes = Buffer.from(value);
  return Buffer.concat([varint(bytes.length), bytes]);
}

function recordOf(given: {
  key: string | Buffer;
  value: string | null;
  delta: number;
  headers: [string, string][];
}) {
  const { key, value, delta, headers } = given;
  const body = Buffer.concat([
    Buffer.of(0),
    varint(delta * 1_000),
    varint(delta),
    text(key),
    text(value),
    varint(headers.length),
    ...headers.flatMap(([name, content]) => [text(name), text(content)]),
  ]);
  return Buffer.concat([varint(body.length), body]);
}

/** A batch as a broker stores it (format 2). */
function batch(given: TestBatch, keys?: (string | Buffer)[]): Buffer {
  const { firstOffset, values, attributes = 0, producerId = -1, headers = [], format = 2 } = given;
  const { deltas = values.map((_, i) => i) } = given;
  const plain = Buffer.concat(
    values.map((value, i) =>
      recordOf({ key: keys?.[i] ?? `k${i}`, value, delta: deltas[i] as number, headers }),
    ),
  );
  const codec = attributes & 7;
  const records = codec === GZIP ? gzipSync(plain) : codec === ZSTD ? zstdCompressSync(plain) : plain;
  const head = Buffer.alloc(61);
  head.writeBigInt64BE(BigInt(firstOffset), 0);
  head.writeInt32BE(head.length - 12 + records.length, 8);
  head.writeInt8(format, 16);
  head.writeInt16BE(attributes, 21);
  head.writeInt32BE(deltas.at(-1) as number, 23);
  head.writeBigInt64BE(BigInt(TIME_MS), 27);
  head.writeBigInt64BE(BigInt(TIME_MS + 5_000), 35);
  head.writeBigInt64BE(BigInt(producerId), 43);
  head.writeInt32BE(values.length, 57);
  return Buffer.concat([head, records]);
}

/** What ends a transaction. */
function marker(firstOffset: number, producerId: number, kind: 'abort' | 'commit'): Buffer {
  const key = Buffer.of(0, 0, 0, kind === 'commit' ? 1 : 0);
  const attributes = TRANSACTIONAL | CONTROL;
  return batch({ firstOffset, values: [''], attributes, producerId }, [key]);
}

const written = (firstOffset: number, producerId: number, ...values: string[]) =>
  batch({ firstOffset, values, producerId, attributes: TRANSACTIONAL });
const valuesOf = (bytes: Buffer, given: Parameters<typeof decodeBatches>[1] = { from: 0 }) =>
  decodeBatches(bytes, given).records.map(({ value }) => value);

test('records come with their offsets, times, keys, headers and tombstones', () => {
  const bytes = batch({
    firstOffset: 40,
    values: ['ä€', null],
    headers: [
      ['trace', '1'],
      ['__proto__', '2'],
    ],
  });
  const { records, nextOffset, bytes: unpackedBytes, packedBytes } = decodeBatches(bytes, { from: 0 });
  const read = records.map(({ key, value, headers, offset, timestampMs, utf8 }) => {
    const text = utf8 === undefined ? null : utf8.bytes.toString('utf8', utf8.from, utf8.to);
    return { key, value, headers, offset, timestampMs, text };
  });
  const headers = Object.fromEntries([
    ['trace', '1'],
    ['__proto__', '2'],
  ]);
  expect(read).toEqual([
    { key: 'k0', value: 'ä€', text: 'ä€', headers, offset: 40, timestampMs: TIME_MS },
    { key: 'k1', value: null, text: null, headers, offset: 41, timestampMs: TIME_MS + 1_000 },
  ]);
  expect({ nextOffset, unpackedBytes, packedBytes }).toEqual({
    nextOffset: 42,
    unpackedBytes: bytes.length - 61,
    packedBytes: bytes.length - 61,
  });
  const appended = batch({ firstOffset: 0, values: ['a'], attributes: LOG_APPEND_TIME });
  expect(decodeBatches(appended, { from: 0 }).records[0]?.timestampMs).toBe(TIME_MS + 5_000);
});

test('a batch that begins before the offset asked for, one with gaps, and one that is cut off', () => {
  const bytes = Buffer.concat([
    batch({ firstOffset: 0, values: ['0', '1', '2'] }),
    batch({ firstOffset: 3, values: ['3', '7'], deltas: [0, 4] }),
    batch({ firstOffset: 8, values: ['8'] }).subarray(0, 40),
  ]);
  expect(valuesOf(bytes, { from: 2 })).toEqual(['2', '3', '7']);
  expect(decodeBatches(bytes, { from: 2 }).nextOffset).toBe(8);
  expect(decodeBatches(bytes, { from: 1, maxRecords: 2 })).toMatchObject({
    records: [{ value: '1' }, { value: '2' }],
    nextOffset: 3,
  });
  expect(decodeBatches(Buffer.alloc(0), { from: 5 })).toEqual({
    records: [],
    nextOffset: 5,
    bytes: 0,
    packedBytes: 0,
  });
});

test.each([
  ['gzip', GZIP],
  ['zstd', ZSTD],
])('%s is unpacked', (_, attributes) => {
  expect(valuesOf(batch({ firstOffset: 0, values: ['a', 'b'], attributes }))).toEqual(['a', 'b']);
  const much = batch({ firstOffset: 0, values: ['x'.repeat(10_000)], attributes });
  expect(much.length).toBeLessThan(1_000);
  // What waits to be handled is bounded by what it is, not by what it was on its way.
  const { bytes, packedBytes } = decodeBatches(much, { from: 0 });
  expect(bytes).toBeGreaterThan(10_000);
  expect(packedBytes).toBe(much.length - 61);
});

test('of a header that comes twice the last counts, and it is said that not all is there', () => {
  const headers: [string, string][] = [
    ['trace', '1'],
    ['other', 'x'],
    ['trace', '2'],
  ];
  expect(decodeBatches(batch({ firstOffset: 0, values: ['a'], headers }), { from: 0 }).records).toMatchObject(
    [{ headers: { trace: '2', other: 'x' }, isPart: true }],
  );
});

test('the batch that reaches the bytes asked for, unpacked, is the last', () => {
  const much = (firstOffset: number) =>
    batch({ firstOffset, values: ['x'.repeat(10_000), 'last'], attributes: ZSTD });
  const bytes = Buffer.concat([much(0), much(2), much(4)]);
  const decoded = decodeBatches(bytes, { from: 1, maxBytes: 10_001 });
  expect(decoded.records.map(({ offset }) => offset)).toEqual([1]);
  expect(decoded.nextOffset).toBe(2);
  expect(decodeBatches(bytes, { from: 1, maxBytes: 20_000 }).nextOffset).toBe(4);
});

test('a batch that cannot be unpacked, or holds no records, is one record that says so; its neighbours are read', () => {
  const snappy = batch({ firstOffset: 5, values: ['a', 'b', 'c'], attributes: SNAPPY });
  const damaged = batch({ firstOffset: 8, values: ['a'.repeat(100), 'b'], attributes: ZSTD });
  damaged.fill(0, 70);
  const short = batch({ firstOffset: 10, values: ['a', 'abc'] });
  short[61 + 10] = 100; // the second record says that it is longer than its batch
  const before = batch({ firstOffset: 0, values: ['before'] });
  const after = batch({ firstOffset: 12, values: ['after'] });
  const all = Buffer.concat([before, snappy, damaged, short, after]);
  const nothing = { key: '', value: '', headers: {}, isPart: true, timestampMs: TIME_MS + 5_000 };
  const { records, nextOffset } = decodeBatches(all, { from: 0 });
  const packing = 'must be compressed by gzip or zstd, or not at all, got snappy';
  expect(records).toMatchObject([
    { offset: 0, value: 'before' },
    { ...nothing, offset: 7, unreadable: expect.stringContaining(`records 5 to 7: ${packing}`) },
    { ...nothing, offset: 9, unreadable: expect.stringContaining('records 8 to 9: ') },
    { ...nothing, offset: 11, unreadable: expect.stringContaining('must be whole') },
    { offset: 12, value: 'after' },
  ]);
  expect(nextOffset).toBe(13);
  const aborted = batch({ firstOffset: 0, values: ['a'], attributes: SNAPPY | TRANSACTIONAL, producerId: 1 });
  expect(valuesOf(aborted, { from: 0, aborted: [{ producerId: 1n, firstOffset: 0 }] })).toEqual([]);
});

test('records of a format that brokers have not stored for years end the reading', () => {
  expect(() => valuesOf(batch({ firstOffset: 0, values: ['a'], format: 1 }))).toThrow(
    /format must be 2, got 1/,
  );
});

test('records of aborted transactions count for nothing, in whatever order the broker lists them', () => {
  const bytes = Buffer.concat([
    written(0, 1, 'aborted'),
    written(1, 2, 'kept'),
    written(2, 3, 'aborted'),
    marker(3, 3, 'abort'),
    written(4, 3, 'kept too'),
    written(5, 1, 'aborted'),
    marker(6, 1, 'abort'),
    marker(7, 2, 'commit'),
    marker(8, 3, 'commit'),
    written(9, 1, 'kept after all'),
    marker(10, 1, 'commit'),
  ]);
  const asEnded = [
    { producerId: 3n, firstOffset: 2 },
    { producerId: 1n, firstOffset: 0 },
  ];
  for (const aborted of [asEnded, asEnded.toReversed()]) {
    expect(valuesOf(bytes, { from: 0, aborted })).toEqual(['kept', 'kept too', 'kept after all']);
    expect(decodeBatches(bytes, { from: 0, aborted }).nextOffset).toBe(11);
  }
});

test('a fetch that begins inside of aborted transactions', () => {
  const bytes = Buffer.concat([
    written(5, 2, 'aborted'),
    written(6, 1, 'aborted'),
    written(7, 9, 'kept'),
    marker(8, 1, 'abort'),
    marker(9, 2, 'abort'),
    marker(10, 9, 'commit'),
  ]);
  const aborted = [
    { producerId: 1n, firstOffset: 0 },
    { producerId: 2n, firstOffset: 3 },
  ];
  expect(valuesOf(bytes, { from: 5, aborted })).toEqual(['kept']);
});

test('a record outside of transactions counts although its producer has an aborted one', () => {
  const bytes = Buffer.concat([
    batch({ firstOffset: 0, values: ['plain'], producerId: 1 }),
    written(1, 1, 'aborted'),
    marker(2, 1, 'abort'),
  ]);
  expect(valuesOf(bytes, { from: 0, aborted: [{ producerId: 1n, firstOffset: 0 }] })).toEqual(['plain']);
});

test('times far apart need more than 32 bits', () => {
  const bytes = batch({ firstOffset: 0, values: ['a', 'b'], deltas: [0, 3_000_000] });
  expect(decodeBatches(bytes, { from: 0 }).records[1]?.timestampMs).toBe(TIME_MS + 3_000_000_000);
});
