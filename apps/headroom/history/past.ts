import { readTrace } from '#adapters/sources';
import type { HistoryStep } from '#domain/demand';
import type { SessionFailure } from '../api-session.js';
import { EXIT } from '../exit-codes.js';

/** Epoch ms, the second one exclusive. */
export interface Span {
  fromMs: number;
  toMs: number;
}

/** What a pool received before, as another system kept it. */
export interface Past {
  /** Name of the history when none is given. */
  name: string;
  /** What there is at all. */
  span: Span;
  /** What arrived in the span, whose ends are those of buckets. Some more at its ends does no harm. */
  steps(span: Span, bucketS: number): Promise<OrFailure<HistoryStep[]>>;
}

export type OrFailure<T> = { ok: true; value: T } | SessionFailure;

/** Of a file `timestamp,value`. */
export async function csvPast(file: string): Promise<OrFailure<Past>> {
  const read = await readTrace(file);
  if (!read.ok) return { ok: false, code: EXIT.usage, message: read.problem };
  const { startMs, stepMs, values } = read.trace;
  const steps = values.map((arrivals, i) => ({ startMs: startMs + i * stepMs, stepMs, arrivals }));
  const span = { fromMs: startMs, toMs: startMs + values.length * stepMs };
  return { ok: true, value: { name: 'csv', span, steps: async () => ({ ok: true, value: steps }) } };
}
