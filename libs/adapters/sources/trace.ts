import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

/** A recorded series of equally long buckets: what arrived in [startMs + i·stepMs, + stepMs); null = not recorded. */
export interface Trace {
  startMs: number;
  stepMs: number;
  values: (number | null)[];
}

/** `problem` is `where: rule, got actual`. */
export type ReadTrace = { ok: true; trace: Trace } | { ok: false; problem: string };

export interface TraceWindow {
  /** Epoch ms, inclusive; undefined = the first bucket. */
  fromMs?: number | undefined;
  /** Epoch ms, exclusive; undefined = after the last bucket. */
  toMs?: number | undefined;
}

const HEADER = 'timestamp,value';
/** A year of minutes is half a million; this bounds memory at some 200 MB. */
const MAX_ROWS = 5_000_000;
const MAX_BYTES = 512 * 1_048_576;

/** Reads a `timestamp,value` CSV file; gzip is recognised by its first bytes, not by the name. */
export async function readTrace(file: string): Promise<ReadTrace> {
  try {
    const { size } = await stat(file);
    if (size > MAX_BYTES) return { ok: false, problem: `${file}: at most ${MAX_BYTES} bytes, got ${size}` };
    const bytes = await readFile(file);
    const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const text = zipped ? await promisify(gunzip)(bytes, { maxOutputLength: MAX_BYTES }) : bytes;
    const parsed = parseTrace(text.toString('utf8'));
    return parsed.ok ? parsed : { ok: false, problem: `${file}: ${parsed.problem}` };
  } catch (error) {
    const actual = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    return { ok: false, problem: `${file}: must be a readable CSV file, plain or gzip, got ${actual}` };
  }
}

/** Parses the text of a trace. An empty value is a missing bucket; everything else that is odd is refused. */
export function parseTrace(text: string): ReadTrace {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  while (lines.at(-1) === '') lines.pop();
  if (lines[0] !== HEADER) return refuse(1, `header must be ${HEADER}`, lines[0] ?? '');
  if (lines.length < 3) return refuse(lines.length, 'must have at least 2 rows', `${lines.length - 1}`);
  if (lines.length > MAX_ROWS)
    return refuse(MAX_ROWS, `must have at most ${MAX_ROWS} rows`, `${lines.length}`);

  const trace: Trace = { startMs: 0, stepMs: 0, values: [] };
  for (let i = 1; i < lines.length; i++) {
    const problem = addRow(trace, lines[i]!, i);
    if (problem !== undefined) return refuse(i + 1, problem.rule, problem.actual);
  }
  return { ok: true, trace };
}

function addRow(trace: Trace, line: string, row: number): { rule: string; actual: string } | undefined {
  const fields = line.split(',');
  if (fields.length !== 2) return { rule: 'must have 2 fields', actual: line };
  const atMs = parseDateTime(fields[0]!);
  if (atMs === undefined) return { rule: 'timestamp must be ISO 8601 in UTC', actual: fields[0]! };
  if (row === 1) trace.startMs = atMs;
  if (row === 2) trace.stepMs = atMs - trace.startMs;
  if (row >= 2 && trace.stepMs <= 0) return { rule: 'timestamps must rise', actual: fields[0]! };
  const expectedMs = trace.startMs + (row - 1) * trace.stepMs;
  if (atMs !== expectedMs) {
    const previousMs = expectedMs - trace.stepMs;
    const rule =
      atMs <= previousMs ? 'timestamps must rise' : `step must be ${trace.stepMs / 1000} s as before`;
    return { rule, actual: `${(atMs - previousMs) / 1000} s (${fields[0]})` };
  }
  const value = valueOf(fields[1]!);
  if (value === undefined) return { rule: 'value must be a number ≥ 0 or empty', actual: fields[1]! };
  trace.values.push(value);
  return undefined;
}

function valueOf(field: string): number | null | undefined {
  const text = field.trim();
  if (text === '') return null;
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  return value >= 0 && Number.isFinite(value) ? value : undefined;
}

function refuse(line: number, rule: string, actual: string): ReadTrace {
  return { ok: false, problem: `line ${line}: ${rule}, got ${actual.slice(0, 80)}` };
}

const DATE_TIME = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})?)?$/;

/** `1998-06-10`, `1998-06-10T12:00`, `…:00Z`, `…+02:00` as epoch ms; UTC when no zone is given. */
export function parseDateTime(text: string): number | undefined {
  const trimmed = text.trim();
  if (!DATE_TIME.test(trimmed)) return undefined;
  const iso = trimmed.replace(' ', 'T');
  const zoned = iso.length === 10 || /(Z|[+-]\d{2}:\d{2})$/.test(iso.slice(10)) ? iso : `${iso}Z`;
  const ms = Date.parse(zoned);
  // Date.parse turns 30 February into 2 March.
  const sameDay = new Date(`${iso.slice(0, 10)}T00:00:00Z`).toJSON()?.slice(0, 10) === iso.slice(0, 10);
  return Number.isNaN(ms) || !sameDay ? undefined : ms;
}

/** The buckets that start in [from, to). */
export function windowOf(trace: Trace, { fromMs, toMs }: TraceWindow): ReadTrace {
  const endMs = trace.startMs + trace.values.length * trace.stepMs;
  const first = fromMs === undefined ? 0 : Math.max(0, Math.ceil((fromMs - trace.startMs) / trace.stepMs));
  const last = toMs === undefined ? trace.values.length : Math.ceil((toMs - trace.startMs) / trace.stepMs);
  const values = trace.values.slice(first, Math.max(0, last));
  if (!values.some((value) => value !== null && value > 0)) {
    const rule = `must hold arrivals of the trace (${isoOf(trace.startMs)} to ${isoOf(endMs)}, exclusive)`;
    const actual = `${fromMs === undefined ? 'its start' : isoOf(fromMs)} to ${toMs === undefined ? 'its end' : isoOf(toMs)}`;
    return { ok: false, problem: `window: ${rule}, got ${actual}` };
  }
  return { ok: true, trace: { ...trace, startMs: trace.startMs + first * trace.stepMs, values } };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
