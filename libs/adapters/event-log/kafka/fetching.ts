import { setTimeout as delay } from 'node:timers/promises';
import type { LostRecords } from '../event-log.js';
import { END, START, type KafkaCluster } from './cluster.js';
import type { FetchedPartition } from './fetch-request.js';
import { explained, fetchError, isPassing, kafkaTypeOf } from './kafka-errors.js';
import type { PartitionReader } from './partition-reader.js';
import { decodeBatches } from './record-batches.js';

/** How long a broker waits for records. */
const MAX_WAIT_MS = 500;
/** … while a partition of it is left out because its reader has enough: it may want more soon. */
const SHORT_WAIT_MS = 10;
/** One answer of one broker. Records are read where they lie in it: it is kept until the last of them was handled. */
const MAX_FETCH_BYTES = 4 * 1024 * 1024;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;

interface Wish {
  reader: PartitionReader;
  offset: number;
}

/** Keeps the readers of one member supplied: at most one request per broker, for those of its partitions that want more. */
export class Fetching {
  private readonly busy = new Set<number>();
  private turn = 0;
  private isStopped = false;
  private pauseMs = FIRST_PAUSE_MS;

  constructor(
    private readonly cluster: KafkaCluster,
    private readonly given: {
      readers: () => Iterable<PartitionReader>;
      maxBytesPerPartition: number;
      onLost: (lost: LostRecords) => void;
      onFailed: (error: Error) => void;
    },
  ) {}

  /** Asks the brokers that are not asked already. */
  pump(): void {
    if (this.isStopped) return;
    for (const [nodeId, readers] of this.byLeader()) {
      if (this.busy.has(nodeId)) continue;
      const wishes = readers.flatMap((reader) => {
        const offset = reader.wants;
        return offset === undefined ? [] : [{ reader, offset }];
      });
      if (wishes.length === 0) continue;
      this.busy.add(nodeId);
      const isPart = wishes.length < readers.length;
      void this.ask(nodeId, wishes, isPart ? SHORT_WAIT_MS : MAX_WAIT_MS).finally(() => {
        this.busy.delete(nodeId);
        this.pump();
      });
    }
  }

  stop(): void {
    this.isStopped = true;
  }

  private byLeader(): Map<number, PartitionReader[]> {
    const leaders = new Map<string, Map<number, number>>();
    return Map.groupBy(this.given.readers(), ({ at: { topic, partition } }) => {
      const own = leaders.get(topic) ?? this.cluster.leaders(topic);
      leaders.set(topic, own);
      return own.get(partition) ?? -1;
    });
  }

  private async ask(nodeId: number, wishes: Wish[], maxWaitMs: number): Promise<void> {
    const { maxBytesPerPartition: maxBytes } = this.given;
    // What does not fit into an answer comes first in one of the next.
    const first = this.turn++ % wishes.length;
    const inTurn = [...wishes.slice(first), ...wishes.slice(0, first)];
    const from = inTurn.map(({ reader, offset }) => {
      return { ...reader.at, offset, maxBytes: Math.ceil(maxBytes / reader.packing) };
    });
    try {
      const fetched = await this.cluster.fetch(nodeId, from, { maxWaitMs, maxBytes: MAX_FETCH_BYTES });
      if (this.isStopped) return;
      let hasMoved = false;
      for (const answer of fetched) hasMoved = (await this.give(answer, wishes)) || hasMoved;
      if (hasMoved) await this.refreshSoon();
      else this.pauseMs = FIRST_PAUSE_MS;
    } catch (error) {
      if (this.isStopped) return;
      if (!isPassing(error)) return this.fail(explained(error, 'reading'));
      await this.refreshSoon();
    }
  }

  /** True when the cluster's state must be asked for. */
  private async give(answer: FetchedPartition, wishes: Wish[]): Promise<boolean> {
    const { topic, partition, errorCode, endOffset, aborted, batches } = answer;
    const wish = wishes.find(({ reader: { at } }) => at.topic === topic && at.partition === partition);
    if (wish === undefined) return false;
    const { reader, offset: from } = wish;
    if (errorCode === 0) {
      const decoded = decodeBatches(batches, { from, aborted, maxBytes: this.given.maxBytesPerPartition });
      if (decoded.packedBytes > 0) reader.packing = Math.max(1, decoded.bytes / decoded.packedBytes);
      reader.take(from, { ...decoded, endOffset });
      return false;
    }
    const error = fetchError(errorCode);
    if (isPassing(error)) return true;
    if (error.type === 'OFFSET_OUT_OF_RANGE') await this.outOfRange(reader, from);
    else this.fail(explained(error, `reading ${topic}[${partition}]`));
    return false;
  }

  /** Retention has overtaken the reader, or the topic is not the one it was. */
  private async outOfRange(reader: PartitionReader, from: number): Promise<void> {
    const { topic, partition } = reader.at;
    const one = { partitions: [partition] };
    const first = (await this.cluster.offsets(topic, { ...one, timeMs: START })).get(partition) ?? 0;
    const end = (await this.cluster.offsets(topic, { ...one, timeMs: END })).get(partition) ?? 0;
    if (from < first) {
      reader.skipTo(first);
      this.given.onLost({ topic, partition, from, to: first });
    } else if (from > end) {
      const rule = `a reader must stand before the end ${end}, got ${from}`;
      this.fail(
        new Error(
          `event log on Kafka, reading ${topic}[${partition}]: ${rule} (hint: the topic was made anew, or its brokers lost records)`,
        ),
      );
    }
  }

  private async refreshSoon(): Promise<void> {
    await delay(this.pauseMs);
    this.pauseMs = Math.min(2 * this.pauseMs, MAX_PAUSE_MS);
    if (this.isStopped) return;
    await this.cluster.refresh().catch((error: unknown) => {
      const isUnknown = kafkaTypeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
      if (isUnknown || !isPassing(error)) this.fail(explained(error, 'reading'));
    });
  }

  private fail(error: Error): void {
    if (this.isStopped) return;
    this.stop();
    this.given.onFailed(error);
  }
}
