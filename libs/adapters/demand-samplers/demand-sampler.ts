import type { DemandSample } from '#domain/demand';

/** A system that measures what a pool receives, instead of telling of each execution. */
export interface DemandSampler {
  /** Samples of the buckets in the span, in order. A bucket of which it says nothing is left out. Rejects when it cannot say. */
  sample(span: SampleSpan): Promise<DemandSample[]>;
}

/** Whole buckets of [fromMs, toMs). */
export interface SampleSpan {
  fromMs: number;
  toMs: number;
  bucketS: number;
}
