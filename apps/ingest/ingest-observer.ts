import type { LoopObserver } from '#adapters/loop';
import type { RecordSourceObserver } from '#adapters/record-sources';
import type { Applied, DeadLetterReason, IngestOutput, OffsetRange } from '#domain/demand';
import type { Refusal } from '#domain/events';
import type { MappingRefusal } from '#domain/mapping';
import type { ReplayRefusal } from './dead-letter.js';

/**
 * What ingest lets the program count and log. Every branch that loses, corrects or refuses something is here. Abstract
 * class instead of interface: it is also the name under which the module's parts find it.
 */
export abstract class IngestObserver {
  /** A batch of `executions.v1` was counted and committed. */
  abstract counted(batch: CountedBatch): void;
  /** A partition was taken over: its state was read, and `replayed` records of the log again. */
  abstract restored(partition: { partition: number; replayed: number; durationMs: number }): void;
  /** A pool that had no policy got the one it starts with. */
  abstract poolCreated(pool: string): void;
  /** A demand partial met the demand table. `gap` alarms: partials in between are missing. */
  abstract partialApplied(partial: PartialApplied): void;
  /** Buckets of a pool have another length than before: what is known of it begins anew with the one at `fromMs`. */
  abstract seriesRestarted(series: {
    pool: string;
    bucketS: number;
    bucketSBefore: number;
    fromMs: number;
  }): void;
  /** A record of `demand.v1` that is no partial was left out. */
  abstract partialUnreadable(record: { partition: number; offset: number }): void;
  /** Events of a POST, by what the answer says of them. */
  abstract eventsReceived(outcome: 'accepted' | 'overloaded' | 'unavailable' | Refusal, events: number): void;
  /** What became of records of a mapping, or of their elements. */
  abstract recordsMapped(mapping: string, outcome: MappingOutcome, records: number): void;
  /** Who hears of a record source, by its name. */
  abstract ofSource(name: string): RecordSourceObserver;
  /** A source was asked for buckets of a pool's demand, and told of so many. */
  abstract sampled(answer: { source: string; asked: number; told: number }): void;
  abstract sampleFailed(failure: { source: string; pool: string; error: Error }): void;
  /** Dead letters were handed out: `listed` without what they hold, `shown` with it. */
  abstract lettersRead(operation: 'listed' | 'shown', letters: number): void;
  /** The dead letters could not be read; who asked got 503. */
  abstract lettersUnreadable(error: Error): void;
  /** Somebody asked for dead letters to be replayed, who is named by the token: one call for each outcome. */
  abstract lettersReplayed(replay: {
    outcome: 'replayed' | ReplayRefusal;
    letters: number;
    subject: string;
  }): void;
  /** What became of a piece of a pool's past. */
  abstract historyTaken(outcome: HistoryOutcome): void;
  /** Events or demand could not be appended; their sender was told to send them again. */
  abstract appendFailed(error: Error): void;
  abstract readonly loop: LoopObserver;
}

/** `overloaded` and `unavailable`: not written; the source sends them again. */
export type MappingOutcome =
  'mapped' | 'ignored' | 'unreadable' | MappingRefusal | 'overloaded' | 'unavailable';

/** See {@link TakenPiece} of history-import.ts. */
export type HistoryOutcome =
  'included' | 'overlaps' | 'outside' | 'too-many' | 'pending' | 'overloaded' | 'unavailable';

export interface PartialApplied {
  pool: string;
  /** Source partition, and the range that the partial names. */
  range: OffsetRange;
  outcome: Applied['outcome'];
}

export interface CountedBatch {
  partition: number;
  records: number;
  counts: IngestOutput['counts'];
  deadLetters: Partial<Record<DeadLetterReason, number>>;
  /** From the batch's arrival to its commit. */
  durationMs: number;
}
