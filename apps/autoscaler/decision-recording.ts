import { TOPICS, type EventLog, type NewRecord } from '#adapters/event-log';
import type { DecisionRecord } from '#adapters/store';
import { sameHold } from '#domain/scaling';

/** Equal holds that one run records; of more pools it is those whose record is the oldest. */
export const HOLDS_PER_RUN = 200;
/** Decisions that wait for the event log, bytes of JSON: 20,000 of the usual size. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024;
/** Of one append. */
const APPEND_BYTES = 1024 * 1024;

export interface DecisionRecordingOptions {
  log: Pick<EventLog, 'append'>;
  /** Decisions that will never be in the record: the event log took none for too long. */
  lost(decisions: number): void;
  /** Default {@link MAX_WAITING_BYTES}. */
  maxWaitingBytes?: number | undefined;
}

/** The latest decision of a pool, and how many equal holds up to it are not recorded. */
interface Latest {
  record: DecisionRecord;
  unrecorded: number;
}

interface Waiting {
  message: NewRecord;
  bytes: number;
  decisions: number;
}

/**
 * Decisions → `decisions.v1`. Every decision that says something new is a record of its own. One that says what the
 * record of its pool says already is counted, and the next record of the pool tells how many there were: pools are many,
 * and nearly all of their decisions are holds.
 *
 *   10,000 pools × 2 a second ──▶ 400 records a second, of each pool one in 25 s
 */
export class DecisionRecording {
  /** By pool; the one whose record is the oldest comes first. */
  private readonly latest = new Map<string, Latest>();
  private waiting: Waiting[] = [];
  private sending: Promise<void> | undefined;

  constructor(private readonly options: DecisionRecordingOptions) {}

  /** Takes the decisions of a run; resolves when what is to be recorded is durable, rejects when the log does not take it. */
  record(made: readonly DecisionRecord[]): Promise<void> {
    // While the log takes nothing, what says nothing new is counted and need not wait.
    const isBehind = this.waiting.length > 0 || this.sending !== undefined;
    for (const record of made) this.take(record);
    if (!isBehind) this.takeOldest();
    return this.send();
  }

  /** A pool is decided elsewhere from now on, or not at all: what is not recorded waits to be. */
  release(pool: string): void {
    const latest = this.latest.get(pool);
    this.latest.delete(pool);
    if (latest !== undefined && latest.unrecorded > 0) this.wait(latest.record, latest.unrecorded);
  }

  /** What waits; resolves and rejects like {@link record}. */
  send(): Promise<void> {
    this.drop();
    // One at a time: what is on its way must not be sent twice.
    this.sending ??= this.sendAll().finally(() => (this.sending = undefined));
    return this.sending;
  }

  private take(record: DecisionRecord): void {
    const { pool } = record.decision;
    const latest = this.latest.get(pool);
    if (latest !== undefined && saysTheSame(latest.record, record)) {
      latest.record = record;
      latest.unrecorded += 1;
      return;
    }
    this.release(pool);
    this.latest.set(pool, { record, unrecorded: 0 });
    this.wait(record, 1);
  }

  private takeOldest(): void {
    const due: [string, Latest][] = [];
    for (const [pool, latest] of this.latest) {
      if (due.length === HOLDS_PER_RUN) break;
      if (latest.unrecorded > 0) due.push([pool, latest]);
    }
    for (const [pool, { record, unrecorded }] of due) {
      this.wait(record, unrecorded);
      this.latest.delete(pool); // a Map keeps the place of the first insertion
      this.latest.set(pool, { record, unrecorded: 0 });
    }
  }

  private wait(record: DecisionRecord, decisions: number): void {
    const value = JSON.stringify(decisions === 1 ? record : { ...record, count: decisions });
    const message = { key: record.decision.pool, value };
    this.waiting.push({ message, bytes: Buffer.byteLength(value), decisions });
  }

  /** The oldest are lost when there are too many. */
  private drop(): void {
    const { lost, maxWaitingBytes = MAX_WAITING_BYTES } = this.options;
    let bytes = this.waiting.reduce((sum, each) => sum + each.bytes, 0);
    let first = 0;
    let decisions = 0;
    for (; bytes > maxWaitingBytes; first++) {
      const oldest = this.waiting[first] as Waiting;
      bytes -= oldest.bytes;
      decisions += oldest.decisions;
    }
    if (first === 0) return;
    this.waiting = this.waiting.slice(first);
    lost(decisions);
  }

  private async sendAll(): Promise<void> {
    while (this.waiting.length > 0) {
      const piece = this.takePiece();
      try {
        await this.options.log.append(
          TOPICS.decisions,
          piece.map(({ message }) => message),
        );
      } catch (error) {
        this.waiting = [...piece, ...this.waiting];
        this.drop();
        throw error;
      }
    }
  }

  private takePiece(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < this.waiting.length && bytes < APPEND_BYTES)
      bytes += (this.waiting[count++] as Waiting).bytes;
    return this.waiting.splice(0, count);
  }
}

function saysTheSame(before: DecisionRecord, after: DecisionRecord): boolean {
  return before.policyVersion === after.policyVersion && sameHold(before.decision, after.decision);
}
