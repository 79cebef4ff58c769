import type { z } from 'zod';
import { rebucketed, type HistoryBucket, type HistorySpan } from '#domain/demand';
import { HISTORY_ROUTES, MAX_HISTORY_BUCKETS } from '../../ingest/index.js';
import { openApiSession, type ApiOptions, type ApiSession } from '../api-session.js';
import type { CommandContext, Failure, Outcome } from '../commands/command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { ProgressLine } from '../progress-line.js';
import { poolProblem, timesOf } from '../typed-options.js';
import { csvPast, type Past, type Span } from './past.js';
import { prometheusPast, type PrometheusPastOptions } from './prometheus-past.js';

export interface ImportOptions extends ApiOptions {
  pool: string;
  name?: string;
  /** As typed: date or date-time. */
  from?: string;
  to?: string;
  json?: true;
}

type Standing = z.output<typeof HISTORY_ROUTES.standing.response>;

/** What has been brought in: whole buckets. */
interface BroughtIn extends HistorySpan {
  name: string;
  arrivals: number;
}

/** At most {@link MAX_HISTORY_BUCKETS} of the span. */
interface Piece extends Span {
  buckets: HistoryBucket[];
}

/** A year of minutes. */
const MAX_BUCKETS = 600_000;

/** `headroom import csv`: what arrived per step, as `headroom replay` reads it. */
export function importCsv(file: string, options: ImportOptions, context: CommandContext): Promise<ExitCode> {
  return importFrom(() => csvPast(file), options, context);
}

/** `headroom import prometheus`: a rate over time. */
export function importPrometheus(
  options: ImportOptions & PrometheusPastOptions,
  context: CommandContext,
): Promise<ExitCode> {
  return importFrom(() => prometheusPast(options), options, context);
}

async function importFrom(
  open: () => Promise<Outcome<Past>>,
  options: ImportOptions,
  context: CommandContext,
): Promise<ExitCode> {
  const done = await bringIn(open, options, context);
  if (!done.ok) return context.fail(done);
  context.print(options.json ? jsonOf(options, done.value) : lineOf(options, done.value));
  return EXIT.ok;
}

async function bringIn(
  open: () => Promise<Outcome<Past>>,
  options: ImportOptions,
  context: CommandContext,
): Promise<Outcome<BroughtIn>> {
  const wanted = wantedSpan(options);
  if (!wanted.ok) return wanted;
  const past = await open();
  if (!past.ok) return past;
  const session = await openApiSession(options, { scope: 'events:write', subject: 'import' }, context);
  if (!session.ok) return session;
  const target = new Target(session.value, options.pool, options.name ?? past.value.name);
  const there = intersection(past.value.span, wanted.value);
  return fill(target, { past: past.value, there }, context);
}

async function fill(
  target: Target,
  { past, there }: { past: Past; there: Span },
  context: CommandContext,
): Promise<Outcome<BroughtIn>> {
  const asked = await target.standing();
  if (!asked.ok) return asked;
  const standing = asked.value;
  const span = spanOf(there, standing);
  const leftOut = leftOutOf(there, span, standing);
  if (leftOut !== undefined) context.note(`headroom: ${leftOut}`);
  const { includedToMs } = standing;
  if (span.fromMs >= span.toMs) {
    const isIn = includedToMs !== null && span.toMs <= includedToMs;
    return isIn ? nothingNew(target, standing, includedToMs) : noSpan(there, standing);
  }
  const isNew = includedToMs === null;
  const sent = await send(target, { past, span, isNew }, context);
  if (!sent.ok) return sent;
  if (sent.value !== undefined) return { ok: true, value: sent.value };
  // A history that goes on may have come to a quiet time, which says nothing of the query or the file.
  return isNew ? noArrivals(span) : nothingNew(target, standing, includedToMs);
}

/** A pool of a running program, and the name of a history in it. */
class Target {
  constructor(
    private readonly session: ApiSession,
    private readonly pool: string,
    readonly name: string,
  ) {}

  standing(): Promise<Outcome<Standing>> {
    const { method, path, response } = HISTORY_ROUTES.standing;
    const query = new URLSearchParams({ name: this.name });
    return this.session.call({ method, path: `${this.at(path)}?${query}` }, response);
  }

  take(piece: z.input<typeof HISTORY_ROUTES.take.body>): Promise<Outcome<unknown>> {
    const { method, path, response } = HISTORY_ROUTES.take;
    return this.session.call({ method, path: this.at(path), body: piece }, response);
  }

  async bringIn(piece: Piece, { toMs }: Span): Promise<Outcome<Piece>> {
    const taken = await this.take({ name: this.name, ...piece, isLast: piece.toMs === toMs });
    return taken.ok ? { ok: true, value: piece } : taken;
  }

  private at(path: string): string {
    return path.replace(':pool', this.pool);
  }
}

function wantedSpan({ pool, ...typed }: ImportOptions): Outcome<Span> {
  const problem = poolProblem(pool);
  if (problem !== undefined) return usage(problem);
  const read = timesOf(typed);
  if (!read.ok) return usage(read.problem);
  const { fromMs = -Infinity, toMs = Infinity } = read.times;
  if (fromMs >= toMs) return usage(`--to: must be later than --from (${typed.from}), got ${typed.to}`);
  return { ok: true, value: { fromMs, toMs } };
}

function intersection(one: Span, other: Span): Span {
  return { fromMs: Math.max(one.fromMs, other.fromMs), toMs: Math.min(one.toMs, other.toMs) };
}

/** Whole buckets of what is there that can be brought in and are not in yet, the newest {@link MAX_BUCKETS} at most. */
function spanOf(there: Span, { bucketS, includedToMs, ...room }: Standing): HistorySpan {
  const bucketMs = bucketS * 1000;
  const within = intersection(there, room);
  const toMs = Math.floor(within.toMs / bucketMs) * bucketMs;
  const fromMs = Math.max(within.fromMs, includedToMs ?? -Infinity, toMs - MAX_BUCKETS * bucketMs);
  return { fromMs: Math.ceil(fromMs / bucketMs) * bucketMs, toMs, bucketS };
}

/** What somebody may miss who knows what there is. */
function leftOutOf(there: Span, { fromMs, bucketS }: HistorySpan, standing: Standing): string | undefined {
  if (there.fromMs === -Infinity || fromMs - there.fromMs < bucketS * 1000) return undefined;
  const why =
    fromMs === standing.includedToMs
      ? 'is in already'
      : fromMs === standing.fromMs
        ? `is older than what is kept in buckets of ${bucketS} s`
        : `is more than ${MAX_BUCKETS} buckets ago`;
  return `what is before ${isoOf(fromMs)} is left out: it ${why}`;
}

function noSpan(there: Span, { bucketS, fromMs, toMs }: Standing): { ok: false } & Failure {
  const rule = `must have a bucket of ${bucketS} s within ${textOf({ fromMs, toMs })}`;
  const hint =
    'what is older is not kept in buckets of this length; at the end other demand of the pool begins, or now';
  return { ...usage(`history: ${rule}, got ${textOf(there)}`), hint };
}

function noArrivals(span: Span): { ok: false } & Failure {
  return usage(`history: must have arrivals in ${textOf(span)}, got none`);
}

/**
 * Sends each piece before the next one is fetched: what came before a failure is in, and the same command goes on there.
 * Undefined: there were no arrivals, and nothing was sent.
 */
async function send(
  target: Target,
  { past, span, isNew }: { past: Past; span: HistorySpan; isNew: boolean },
  context: CommandContext,
): Promise<Outcome<BroughtIn | undefined>> {
  const { name } = target;
  const progress = new ProgressLine(context.progress);
  let done: BroughtIn | undefined;
  try {
    for await (const read of sinceArrivals(piecesOf(past, span, progress), isNew)) {
      const piece = read.ok ? await target.bringIn(read.value, span) : read;
      if (!piece.ok) {
        if (done !== undefined) context.note(`headroom: ${goesOn(done)}`);
        return piece;
      }
      const { fromMs, toMs, buckets } = piece.value;
      const arrivals = buckets.reduce((sum, bucket) => sum + bucket.arrivals, done?.arrivals ?? 0);
      done = { name, bucketS: span.bucketS, fromMs: done?.fromMs ?? fromMs, toMs, arrivals };
    }
  } finally {
    progress.close();
  }
  return { ok: true, value: done };
}

/** Each is fetched when it is asked for; they end with the first that cannot be. */
async function* piecesOf(
  past: Past,
  span: HistorySpan,
  progress: ProgressLine,
): AsyncGenerator<Outcome<Piece>> {
  const pieceMs = MAX_HISTORY_BUCKETS * span.bucketS * 1000;
  let fraction = 0;
  for (let { fromMs } = span; fromMs < span.toMs; fromMs += pieceMs) {
    const share = (fromMs - span.fromMs) / (span.toMs - span.fromMs);
    progress.show(() => `${Math.floor(100 * share)} % of ${textOf(span)}`);
    const within = { ...span, fromMs, toMs: Math.min(span.toMs, fromMs + pieceMs) };
    const steps = await past.steps(within);
    if (!steps.ok) return void (yield steps);
    const known = rebucketed(steps.value, within, fraction);
    fraction = known.fraction;
    yield { ok: true, value: { fromMs, toMs: within.toMs, buckets: known.buckets } };
  }
}

/**
 * Pieces from the first arrivals on: before it was used a pool was not idle. Of a history that goes on the quiet ones
 * before are held back until there are arrivals, and come then.
 */
async function* sinceArrivals(
  pieces: AsyncIterable<Outcome<Piece>>,
  isNew: boolean,
): AsyncGenerator<Outcome<Piece>> {
  const quiet: Outcome<Piece>[] = [];
  let hasBegun = false;
  for await (const read of pieces) {
    if (hasBegun || !read.ok) {
      yield read;
      continue;
    }
    const first = read.value.buckets.findIndex(({ arrivals }) => arrivals > 0);
    hasBegun = first >= 0;
    if (!hasBegun) quiet.push(read);
    else if (isNew) yield { ok: true, value: begunAt(first, read.value) };
    else yield* [...quiet, read];
  }
}

function begunAt(first: number, { toMs, buckets }: Piece): Piece {
  const rest = buckets.slice(first);
  return { fromMs: (rest[0] as HistoryBucket).startMs, toMs, buckets: rest };
}

function goesOn({ name, toMs }: BroughtIn): string {
  return `history ${name} is in up to ${isoOf(toMs)}: the same command goes on there`;
}

/** The command before may have ended before it could say that its history is complete. */
async function nothingNew(
  target: Target,
  { bucketS }: Standing,
  includedToMs: number,
): Promise<Outcome<BroughtIn>> {
  const bucketMs = bucketS * 1000;
  const toMs = Math.floor(includedToMs / bucketMs) * bucketMs;
  const { name } = target;
  const told = await target.take({ name, fromMs: toMs - bucketMs, toMs, buckets: [], isLast: true });
  if (!told.ok) return told;
  return { ok: true, value: { name, fromMs: toMs, toMs, bucketS, arrivals: 0 } };
}

function jsonOf({ pool }: ImportOptions, done: BroughtIn): string {
  const { name, bucketS, arrivals, fromMs, toMs } = done;
  const [from, to] = [isoOf(fromMs), isoOf(toMs)];
  return JSON.stringify({ pool, name, from, to, bucketS, buckets: bucketsOf(done), arrivals });
}

function lineOf({ pool }: ImportOptions, done: BroughtIn): string {
  const { name, toMs, arrivals } = done;
  if (arrivals === 0) return `pool ${pool}: nothing new, history ${name} is in up to ${isoOf(toMs)}`;
  return `pool ${pool}: ${arrivals} arrivals in ${bucketsOf(done)} buckets, ${textOf(done)}`;
}

function bucketsOf({ fromMs, toMs, bucketS }: HistorySpan): number {
  return (toMs - fromMs) / (bucketS * 1000);
}

function textOf({ fromMs, toMs }: Span): string {
  return `${isoOf(fromMs)} to ${isoOf(toMs)}`;
}

function isoOf(timeMs: number): string {
  if (!Number.isFinite(timeMs)) return timeMs > 0 ? 'now' : 'the beginning';
  return new Date(timeMs).toISOString().replace('.000Z', 'Z');
}

function usage(message: string): { ok: false } & Failure {
  return { ok: false, code: EXIT.usage, message };
}
