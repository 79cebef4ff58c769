import { readTrace, type Trace } from '#adapters/sources';
import type { HistorySpan, HistoryStep } from '#domain/demand';
import type { Outcome } from '../commands/command-context.js';
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
  /** What there is; infinite where only asking tells. */
  span: Span;
  /** In order of time, all that lies in the span, a piece of the past; the first and the last step may reach beyond it. */
  steps(span: HistorySpan): Promise<Outcome<Iterable<HistoryStep>>>;
}

/** Of a file `timestamp,value`. */
export async function csvPast(file: string): Promise<Outcome<Past>> {
  const read = await readTrace(file);
  if (!read.ok) return { ok: false, code: EXIT.usage, message: read.problem };
  const { trace } = read;
  const { startMs, stepMs, values } = trace;
  const span = { fromMs: startMs, toMs: startMs + values.length * stepMs };
  const steps: Past['steps'] = async (within) => ({ ok: true, value: stepsWithin(trace, within) });
  return { ok: true, value: { name: 'csv', span, steps } };
}

function* stepsWithin({ startMs, stepMs, values }: Trace, { fromMs, toMs }: Span): Generator<HistoryStep> {
  const first = Math.max(0, Math.floor((fromMs - startMs) / stepMs));
  const end = Math.min(values.length, Math.ceil((toMs - startMs) / stepMs));
  for (let i = first; i < end; i++)
    yield { startMs: startMs + i * stepMs, stepMs, arrivals: values[i] ?? null };
}
