import type { Kafka, TopicMessages } from 'kafkajs';
import { LogOverloaded } from '../event-log.js';
import { inTime } from '../in-time.js';
import { disconnected } from './cluster.js';
import { explained, NoAnswer } from './kafka-errors.js';
import { sendsOf, type Outgoing } from './sends.js';

/** Records of a topic that wait to be written, or are being; more are refused, so that a slow broker fills no memory. */
export const MAX_PENDING_BYTES = 64 * 1024 * 1024;
/** An append that is not through by then has failed; it may be written all the same. */
const APPEND_WITHIN_MS = 20_000;
/** What a log that closes still waits for. */
const CLOSE_WITHIN_MS = 5_000;
/** Appends that are written together. */
const MAX_WRITE_BYTES = 8 * 1024 * 1024;

/** A client's producer: sends one batch for each partition, acknowledged by all copies, and each of them once. */
export interface BatchSender {
  sendBatch(batch: { topicMessages: TopicMessages[]; compression: number }): Promise<unknown>;
  disconnect(): Promise<void>;
}

interface Pending {
  records: Outgoing[];
  bytes: number;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * Appends to one topic, in order: those that come while others are being written go together. Each topic has a producer
 * of its own, so that one that refuses records fails no other.
 */
export class TopicAppender {
  private pending: Pending[] = [];
  private pendingBytes = 0;
  private writing: Promise<void> | undefined;
  private sender: Promise<BatchSender> | undefined;

  constructor(
    private readonly connect: () => Promise<BatchSender>,
    private readonly topic: string,
    private readonly compression: number,
  ) {}

  /** Resolves when durable. Rejects with {@link LogOverloaded}, or with what a broker said. */
  append(records: Outgoing[]): Promise<void> {
    const bytes = records.reduce((sum, record) => sum + record.bytes, 0);
    if (this.pendingBytes + bytes > MAX_PENDING_BYTES) {
      const rule = `at most ${MAX_PENDING_BYTES} bytes may wait to be written, ${this.pendingBytes} do`;
      return Promise.reject(
        new LogOverloaded(`event log on Kafka, ${this.topic}: ${rule} (send again later)`),
      );
    }
    return new Promise((resolve, reject) => {
      this.pending.push({ records, bytes, resolve, reject });
      this.pendingBytes += bytes;
      this.writing ??= this.writeAll().finally(() => (this.writing = undefined));
    });
  }

  /** Resolves when everything is written or refused, or cannot be in time. */
  async close(): Promise<void> {
    const written = this.writing ?? Promise.resolve();
    await inTime(written, CLOSE_WITHIN_MS, () => new NoAnswer(CLOSE_WITHIN_MS)).catch(() => undefined);
    await this.discard();
  }

  private async writeAll(): Promise<void> {
    while (this.pending.length > 0) {
      const group = this.takeGroup();
      try {
        await inTime(this.write(group), APPEND_WITHIN_MS, () => new NoAnswer(APPEND_WITHIN_MS));
        for (const { resolve } of group) resolve();
      } catch (error) {
        // Its count of what was written may be wrong by now, and brokers would take later records for sent before.
        void this.discard();
        const reason = explained(error, `writing ${this.topic}`);
        for (const { reject } of group) reject(reason);
      }
      for (const { bytes } of group) this.pendingBytes -= bytes;
    }
  }

  private takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    while (count < this.pending.length && (count === 0 || bytes < MAX_WRITE_BYTES))
      bytes += (this.pending[count++] as Pending).bytes;
    return this.pending.splice(0, count);
  }

  private async write(group: Pending[]): Promise<void> {
    const { compression } = this;
    this.sender ??= this.connect();
    const sender = await this.sender;
    for (const topicMessages of sendsOf(group.flatMap(({ records }) => records)))
      await sender.sendBatch({ topicMessages, compression });
  }

  private async discard(): Promise<void> {
    const { sender } = this;
    this.sender = undefined;
    await sender?.then(disconnected, () => undefined);
  }
}

/** The library's idempotent producer. */
export async function kafkajsSender(kafka: Kafka): Promise<BatchSender> {
  const producer = kafka.producer({
    idempotent: true,
    allowAutoTopicCreation: false,
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition as number,
  });
  await producer.connect();
  return producer;
}
