import type { Kafka, Producer, Transaction } from 'kafkajs';
import { disconnected, disconnectedAfter, type KafkaCluster } from './cluster.js';
import { LogOverloaded, type StartOffset } from '../event-log.js';
import { inTime } from '../in-time.js';
import { withPatientTransactions } from './coordinator-retries.js';
import { explained, isFenced, NoAnswer } from './kafka-errors.js';
import { sendsOf, type Outgoing } from './sends.js';

/** The brokers end what was begun with the id before, and then let it begin. */
const OPEN_WITHIN_MS = 20_000;
/** A commit that is not through by then has failed: its outcome shows when the bundle is taken over. */
const COMMIT_WITHIN_MS = 20_000;
/** Steps of one transaction: those that came while the one before was written, up to this much. */
const MAX_TRANSACTION_BYTES = 16 * 1024 * 1024;
/** Steps that wait for their transaction. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;

export interface BundleStep {
  outputs: Outgoing[];
  offsets: StartOffset[];
}

interface Pending extends BundleStep {
  bytes: number;
  resolve(outcome: 'committed' | 'fenced'): void;
  reject(error: Error): void;
}

/**
 * The one transactional producer of a bundle of partitions. Opening it ends whatever was begun with the same id, so the
 * positions that are read afterwards are final, and its predecessors can write nothing more.
 *
 * After a failure it takes no more steps: whether the failed one counts is only known to whoever opens the id next.
 */
export class BundleProducer {
  private pending: Pending[] = [];
  private pendingBytes = 0;
  private writing: Promise<void> | undefined;
  private broken: Error | undefined;
  private isLost = false;
  private isClosed = false;

  private constructor(
    private readonly group: string,
    private readonly producer: Producer,
    private readonly compression: number,
    private next: Transaction,
  ) {}

  static async open(
    kafka: Kafka,
    given: {
      cluster: KafkaCluster;
      transactionalId: string;
      group: string;
      compression: number;
      coordinatorWithinMs: number;
    },
  ): Promise<BundleProducer> {
    const { cluster, transactionalId, group, compression, coordinatorWithinMs } = given;
    const doing = `opening transactions ${transactionalId}`;
    await cluster.retried(doing, OPEN_WITHIN_MS, () => cluster.coordinator(transactionalId, 'transaction'));
    const producer = withPatientTransactions(kafka, coordinatorWithinMs).producer({
      transactionalId,
      // Brokers give up a transaction of a process that went silent; not before the process itself has.
      transactionTimeout: 2 * coordinatorWithinMs,
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: () => chosenPartition,
    });
    const begin = async () => {
      await producer.connect();
      // Nothing is begun at the brokers by this but the id itself.
      return new BundleProducer(group, producer, compression, await producer.transaction());
    };
    const beginning = begin();
    try {
      return await inTime(beginning, OPEN_WITHIN_MS, () => new NoAnswer(OPEN_WITHIN_MS));
    } catch (error) {
      void disconnected(producer);
      disconnectedAfter(beginning, producer);
      throw explained(error, doing);
    }
  }

  /** Rejects with {@link LogOverloaded}, or with what a broker said: then nothing of it is written. */
  commit(step: BundleStep): Promise<'committed' | 'fenced'> {
    if (this.isClosed || this.isLost) return Promise.resolve('fenced');
    if (this.broken !== undefined) return Promise.reject(this.broken);
    const bytes = step.outputs.reduce((sum, record) => sum + record.bytes, 0);
    if (this.pendingBytes + bytes > MAX_PENDING_BYTES) {
      const rule = `at most ${MAX_PENDING_BYTES} bytes may wait to be committed, ${this.pendingBytes} do`;
      return Promise.reject(new LogOverloaded(`event log on Kafka: ${rule} (send again later)`));
    }
    return new Promise((resolve, reject) => {
      this.pending.push({ ...step, bytes, resolve, reject });
      this.pendingBytes += bytes;
      this.writing ??= this.writeAll().finally(() => (this.writing = undefined));
    });
  }

  /** Steps that wait are fenced; one that is being written goes on. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const { resolve } of this.takePending(Infinity)) resolve('fenced');
    await this.writing;
    await disconnected(this.producer);
  }

  private async writeAll(): Promise<void> {
    while (this.pending.length > 0) {
      const steps = this.takePending(MAX_TRANSACTION_BYTES);
      try {
        if (this.broken !== undefined) throw this.broken;
        await inTime(this.write(steps), COMMIT_WITHIN_MS, () => new NoAnswer(COMMIT_WITHIN_MS));
        for (const { resolve } of steps) resolve('committed');
      } catch (error) {
        this.fail(error, steps);
      }
    }
  }

  private takePending(maxBytes: number): Pending[] {
    let bytes = 0;
    let count = 0;
    while (count < this.pending.length && (count === 0 || bytes < maxBytes))
      bytes += (this.pending[count++] as Pending).bytes;
    this.pendingBytes -= bytes;
    return this.pending.splice(0, count);
  }

  private async write(steps: Pending[]): Promise<void> {
    const transaction = this.next;
    const { compression } = this;
    for (const topicMessages of sendsOf(steps.flatMap(({ outputs }) => outputs)))
      await transaction.sendBatch({ topicMessages, compression });
    await this.sendOffsets(transaction, lastOffsets(steps));
    await transaction.commit();
    this.next = await this.producer.transaction();
  }

  private async sendOffsets(transaction: Transaction, offsets: StartOffset[]): Promise<void> {
    if (offsets.length === 0) return;
    const topics = [...Map.groupBy(offsets, ({ topic }) => topic)].map(([topic, own]) => ({
      topic,
      partitions: own.map(({ partition, offset }) => ({ partition, offset: String(offset) })),
    }));
    await transaction.sendOffsets({ consumerGroupId: this.group, topics });
  }

  private fail(error: unknown, steps: Pending[]): void {
    this.isLost ||= isFenced(error);
    this.broken ??= explained(error, 'committing');
    for (const { resolve, reject } of steps) {
      if (this.isLost) resolve('fenced');
      else reject(this.broken);
    }
    if (!this.isLost) void this.rollBack();
  }

  /** Readers wait for an open transaction; what does not answer now is rolled back by the brokers later. */
  private async rollBack(): Promise<void> {
    if (this.next.isActive()) await this.next.abort().catch(() => undefined);
  }
}

/** Every record says where it goes. */
const chosenPartition = ({ message }: { message: { partition?: number } }): number =>
  message.partition as number;

/** A transaction may hold several steps of a partition; the broker wants it named once. */
function lastOffsets(steps: BundleStep[]): StartOffset[] {
  const last = new Map<string, StartOffset>();
  for (const offset of steps.flatMap(({ offsets }) => offsets))
    last.set(`${offset.topic}/${offset.partition}`, offset);
  return [...last.values()];
}
