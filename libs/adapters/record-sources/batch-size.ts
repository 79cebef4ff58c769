import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS } from './record-source.js';

/** Before any was seen a record is taken to be so many bytes, so that the first batch is small. */
const FIRST_BYTES = MAX_BATCH_BYTES / 8;

/**
 * How many records to ask for when a system can be told a number only and records may be of any size: about as many of
 * the largest as fit into {@link MAX_BATCH_BYTES}. What was large is believed half as much with each batch, so that batches
 * grow to twice their size at a time, and records that become larger can make one batch too large, once.
 */
export class BatchSize {
  private largestBytes = FIRST_BYTES;

  /** 1 … {@link MAX_BATCH_RECORDS}; a power of two below it, so that it does not change with every batch. */
  get records(): number {
    const fit = Math.max(1, MAX_BATCH_BYTES / this.largestBytes);
    return Math.min(2 ** Math.floor(Math.log2(fit)), MAX_BATCH_RECORDS);
  }

  /** Sizes of the records of a batch. */
  saw(bytes: readonly number[]): void {
    this.largestBytes = Math.max(1, this.largestBytes / 2, ...bytes);
  }
}
