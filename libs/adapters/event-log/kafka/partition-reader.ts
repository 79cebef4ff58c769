import type { Position, RecordBatch, StoredRecord, TopicPartition } from '../event-log.js';
import type { DecodedBatches } from './record-batches.js';

/** Rest of a reader after a batch that was not full: as long as the batch took, within these bounds. */
const MIN_REST_MS = 25;
const MAX_REST_MS = 250;

/**
 * A full batch that took longer makes the next one half as large, a faster one twice, within the reader's bounds. Most of
 * it is the wait for a transaction, which is shorter for no batch: a busy broker needs fewer of them, not smaller ones.
 */
const WANTED_BATCH_MS = 2_000;

export interface ReaderOptions {
  /** Larger batches share the cost of a transaction, smaller ones keep the process responsive. */
  batchRecords: { min: number; max: number };
  /** Fetched, unpacked and not handed out yet; more is fetched when half of it is free. */
  maxWaitingBytes: number;
  /** Rejects when the handler does, or takes too long. */
  handle(batch: RecordBatch): Promise<void>;
  /** The handler failed. */
  onFailed(error: Error): void;
  /** Room for more. */
  onHungry(): void;
}

interface Piece {
  records: StoredRecord[];
  /** First record that was not handed out. */
  at: number;
  bytes: number;
}

/**
 * One partition: keeps what was fetched and hands it out batch by batch, one at a time. A reader at the end rests
 * between batches, the longer the slower they are: then more of them share a transaction, and batches are larger.
 */
export class PartitionReader {
  /** Bytes that came of one that was fetched, the last time: as much less is asked for. */
  packing = 1;
  private pieces: Piece[] = [];
  private waitingRecords = 0;
  private waitingBytes = 0;
  private position: number;
  private fetchPosition: number;
  private endOffset: number;
  private isHeld = true;
  private isStopped = false;
  private atHand: Promise<void> | undefined;
  private restUntilMs = 0;
  private batchRecords: number;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    readonly at: TopicPartition,
    start: number,
    private readonly options: ReaderOptions,
  ) {
    this.position = start;
    this.fetchPosition = start;
    this.endOffset = start;
    this.batchRecords = options.batchRecords.min;
  }

  /** Where to fetch from; undefined while there is enough. */
  get wants(): number | undefined {
    const { maxWaitingBytes } = this.options;
    return this.isStopped || this.waitingBytes > maxWaitingBytes / 2 ? undefined : this.fetchPosition;
  }

  /** What was fetched from `from`; ignored when it was not asked for any more. */
  take(from: number, fetched: DecodedBatches & { endOffset: number }): void {
    if (this.isStopped || from !== this.fetchPosition) return;
    this.fetchPosition = fetched.nextOffset;
    this.endOffset = fetched.endOffset;
    if (fetched.records.length === 0) return;
    if (this.waitingRecords === 0)
      this.restUntilMs = Math.max(this.restUntilMs, performance.now() + MIN_REST_MS);
    this.pieces.push({ records: fetched.records, at: 0, bytes: fetched.bytes });
    this.waitingRecords += fetched.records.length;
    this.waitingBytes += fetched.bytes;
    this.handOut();
  }

  /** The records at the position are gone by retention: the first that is left comes next. */
  skipTo(offset: number): void {
    this.fetchPosition = offset;
  }

  /** Where the reader stands. Behind its last record, what follows and counts for nothing is handled as well. */
  get standing(): Position {
    const offset =
      this.waitingRecords === 0 && this.atHand === undefined ? this.fetchPosition : this.position;
    return { ...this.at, offset, endOffset: Math.max(this.endOffset, offset) };
  }

  /** Hands out nothing more for now; resolves when the batch at hand has ended, one way or the other. */
  async hold(): Promise<void> {
    this.isHeld = true;
    clearTimeout(this.timer);
    await this.atHand;
  }

  release(): void {
    this.isHeld = false;
    this.handOut();
  }

  /** For good. A batch at hand goes on. */
  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.pieces = [];
  }

  private handOut(): void {
    clearTimeout(this.timer);
    if (this.isHeld || this.isStopped || this.atHand !== undefined || this.waitingRecords === 0) return;
    const isFull = this.waitingRecords >= this.batchRecords || this.wants === undefined;
    const restMs = isFull ? 0 : this.restUntilMs - performance.now();
    if (restMs > 0) this.timer = setTimeout(() => this.handOut(), restMs);
    else {
      this.atHand = this.handle(this.nextRecords()).finally(() => {
        this.atHand = undefined;
        this.handOut();
      });
    }
  }

  private nextRecords(): StoredRecord[] {
    const batch: StoredRecord[] = [];
    while (batch.length < this.batchRecords && this.pieces.length > 0) {
      const piece = this.pieces[0] as Piece;
      const taken = piece.records.slice(piece.at, piece.at + this.batchRecords - batch.length);
      batch.push(...taken);
      piece.at += taken.length;
      if (piece.at < piece.records.length) continue;
      this.pieces.shift();
      this.waitingBytes -= piece.bytes;
    }
    this.waitingRecords -= batch.length;
    return batch;
  }

  private async handle(records: StoredRecord[]): Promise<void> {
    this.options.onHungry();
    const startedMs = performance.now();
    try {
      await this.options.handle({ ...this.at, from: this.position, records, endOffset: this.endOffset });
    } catch (error) {
      this.stop();
      this.options.onFailed(error as Error);
      return;
    }
    this.position = (records.at(-1) as StoredRecord).offset + 1;
    const tookMs = performance.now() - startedMs;
    this.restUntilMs = performance.now() + Math.min(Math.max(tookMs, MIN_REST_MS), MAX_REST_MS);
    if (records.length === this.batchRecords) this.adapt(tookMs);
  }

  private adapt(tookMs: number): void {
    const { min, max } = this.options.batchRecords;
    const wanted = tookMs < WANTED_BATCH_MS ? 2 * this.batchRecords : this.batchRecords / 2;
    this.batchRecords = Math.min(Math.max(min, Math.floor(wanted)), max);
  }
}
