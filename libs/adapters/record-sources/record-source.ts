/**
 * Records that another system keeps until it is told that they are taken: at least once. After a lost connection, a
 * crash or a record that was not taken, the same records come again.
 */
export interface RecordSource {
  /** Begins to hand over. Connects by itself, again and again with a back-off, until closed. */
  start(): void;
  /** Records that wait in the other system or are not acknowledged, as last seen; undefined: not known. */
  waiting(): number | undefined;
  /** Takes no more, lets the batch at hand be taken and acknowledged, and leaves. */
  close(): Promise<void>;
}

/** A record as text, and what is known about it. */
export interface SourceRecord {
  text: string;
  about: { readonly headers?: Readonly<Record<string, string>>; readonly [name: string]: unknown };
  /** Where it is, for whoever looks for it: `redis jobs 1526919030474-0`. */
  place: string;
}

export interface RecordSourceOptions {
  /** Resolves when the records are durable; they are acknowledged then and not before. One batch at a time. */
  take(records: readonly SourceRecord[]): Promise<void>;
  observer: RecordSourceObserver;
}

/** Every outcome of a source, to be counted. */
export interface RecordSourceObserver {
  connected(): void;
  /** The connection cannot be had or is lost. Nothing is lost with it. */
  disconnected(failure: { error: Error; retryInMs: number }): void;
  /** A batch was taken and acknowledged. */
  taken(records: number): void;
  /** A batch could not be taken; it is kept and handed over again. */
  notTaken(failure: { error: Error; retryInMs: number; records: number }): void;
}

/** Records of a batch, which is also what a source holds at most of those that are not acknowledged. */
export const MAX_BATCH_RECORDS = 500;
/** The same in bytes; one record may be more. */
export const MAX_BATCH_BYTES = 16 * 1024 * 1024;
