import type { TopicMessages } from 'kafkajs';

/** A record on its way out, with the partition it goes to. */
export interface Outgoing {
  topic: string;
  partition: number;
  key: string;
  value: string | null;
  headers?: Record<string, string> | undefined;
  /** As {@link sizeOf} counts them. */
  bytes: number;
  /** The topic's largest batch, bytes. */
  maxBatchBytes: number;
}

/** Records of one partition in one send: the client makes one batch of them, which a broker takes or refuses whole. */
const MAX_SEND_RECORDS = 1_000;
/** All partitions of one send. */
const MAX_SEND_BYTES = 8 * 1024 * 1024;
/** A batch's own head. */
export const BATCH_BYTES = 61;
/** Lengths, offset and time of one record, at most. */
const RECORD_BYTES = 32;
const HEADER_BYTES = 10;

/** What a record takes in a batch, at most; compression makes it less. */
export function sizeOf({ key, value, headers = {} }: Pick<Outgoing, 'key' | 'value' | 'headers'>): number {
  let bytes = RECORD_BYTES + Buffer.byteLength(key) + (value === null ? 0 : Buffer.byteLength(value));
  for (const [name, text] of Object.entries(headers))
    bytes += HEADER_BYTES + Buffer.byteLength(name) + Buffer.byteLength(text);
  return bytes;
}

interface Place {
  records: number;
  bytes: number;
}

/** Splits records into sends whose batches fit, in order: each partition's go on in the next send. */
export function* sendsOf(records: Outgoing[]): Generator<TopicMessages[]> {
  let messages = new Map<string, TopicMessages['messages']>();
  let places = new Map<string, Place>();
  let sendBytes = 0;
  for (const record of records) {
    const { bytes } = record;
    const name = `${record.topic}/${record.partition}`;
    const place = places.get(name) ?? { records: 0, bytes: BATCH_BYTES };
    const isFull =
      place.records >= MAX_SEND_RECORDS ||
      (place.records > 0 && place.bytes + bytes > record.maxBatchBytes) ||
      sendBytes + bytes > MAX_SEND_BYTES;
    if (isFull && sendBytes > 0) {
      yield topicMessages(messages);
      [messages, places, sendBytes] = [new Map(), new Map(), 0];
      places.set(name, { records: 1, bytes: BATCH_BYTES + bytes });
    } else places.set(name, { records: place.records + 1, bytes: place.bytes + bytes });
    sendBytes += bytes;
    const { topic, partition, key, value, headers } = record;
    const own = messages.get(topic) ?? [];
    messages.set(topic, own);
    own.push({ partition, key, value, ...(headers && { headers }) });
  }
  if (messages.size > 0) yield topicMessages(messages);
}

function topicMessages(messages: Map<string, TopicMessages['messages']>): TopicMessages[] {
  return [...messages].map(([topic, own]) => ({ topic, messages: own }));
}
