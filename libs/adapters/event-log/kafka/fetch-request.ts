import type { TopicPartition } from '../event-log.js';
import { Cursor } from './cursor.js';
import type { AbortedTransaction } from './record-batches.js';

// The client library's own fetch hands records of some aborted transactions out (docs/decisions/0011), so the request
// and the answer are written out here, as Kafka 2.3 and later know them.

const FETCH = 1;
const VERSION = 11;
const NO_REPLICA = -1;
const READ_COMMITTED = 1;
/** No incremental fetch session: each request names its partitions. */
const NO_SESSION = { id: 0, epoch: -1 };

export interface FetchFrom extends TopicPartition {
  offset: number;
  /** Of this partition; one batch that is larger still comes whole, when it is the first of the answer. */
  maxBytes: number;
}

export interface FetchWait {
  /** How long the broker may wait for records, when there are none. */
  maxWaitMs: number;
  /** Of all partitions together. */
  maxBytes: number;
}

export interface FetchedPartition extends TopicPartition {
  /** Kafka's number; 0 = none. */
  errorCode: number;
  /** Next offset to be written. */
  endOffset: number;
  aborted: AbortedTransaction[];
  batches: Buffer;
}

/** A request in the shape in which the client library's connections take one. */
export interface ProtocolRequest<T> {
  request: { apiKey: number; apiVersion: number; apiName: string; encode(): Promise<EncodedRequest> };
  response: { decode(answer: Buffer): Promise<T>; parse(decoded: T): Promise<T> };
  requestTimeout: number;
}

interface EncodedRequest {
  buf: Buffer;
  buffer: Buffer;
}

/** Only records of committed transactions are asked for, and up to the first one that is open. */
export function fetchRequest(
  partitions: FetchFrom[],
  wait: FetchWait,
  timeoutMs: number,
): ProtocolRequest<FetchedPartition[]> {
  const encode = async () => {
    const buffer = encodeFetch(partitions, wait);
    return { buf: buffer, buffer };
  };
  return {
    request: { apiKey: FETCH, apiVersion: VERSION, apiName: 'Fetch', encode },
    response: { decode: async (answer) => decodeFetch(answer), parse: async (decoded) => decoded },
    requestTimeout: wait.maxWaitMs + timeoutMs,
  };
}

function encodeFetch(partitions: FetchFrom[], { maxWaitMs, maxBytes }: FetchWait): Buffer {
  const topics = [...Map.groupBy(partitions, ({ topic }) => topic)];
  return Buffer.concat([
    int32(NO_REPLICA),
    int32(maxWaitMs),
    int32(1),
    int32(maxBytes),
    Buffer.of(READ_COMMITTED),
    int32(NO_SESSION.id),
    int32(NO_SESSION.epoch),
    int32(topics.length),
    ...topics.flatMap(([topic, own]) => [shortText(topic), int32(own.length), ...own.map(encodeFrom)]),
    int32(0), // topics to forget
    shortText(''), // rack
  ]);
}

function encodeFrom({ partition, offset, maxBytes }: FetchFrom): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeInt32BE(partition, 0);
  bytes.writeInt32BE(-1, 4); // leader epoch: any
  bytes.writeBigInt64BE(BigInt(offset), 8);
  bytes.writeBigInt64BE(-1n, 16); // log start: of followers only
  bytes.writeInt32BE(maxBytes, 24);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function shortText(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function decodeFetch(answer: Buffer): FetchedPartition[] {
  const cursor = new Cursor(answer);
  cursor.skip(4 + 2 + 4); // throttle time, error and id of the session
  const topics = cursor.array(() => {
    const topic = cursor.shortText();
    return cursor.array(() => decodePartition(topic, cursor));
  });
  return topics.flat();
}

function decodePartition(topic: string, cursor: Cursor): FetchedPartition {
  const partition = cursor.int32();
  const errorCode = cursor.int16();
  const endOffset = cursor.int64();
  cursor.skip(8 + 8); // last stable offset, log start
  const aborted = cursor.array(() => ({ producerId: cursor.bigInt64(), firstOffset: cursor.int64() }));
  cursor.skip(4); // preferred replica
  return { topic, partition, errorCode, endOffset, aborted, batches: cursor.bytes32() };
}
