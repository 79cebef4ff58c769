import { parseDateTime } from '#adapters/sources';
import { rebucketed, type HistoryBucket } from '#domain/demand';
import { poolName } from '#domain/events';
import { openApiSession, type ApiSession, type SessionFailure, type SessionOptions } from '../api-session.js';
import type { CommandContext } from '../commands/command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { csvPast, type Past, type Span } from './past.js';
import { prometheusPast, type PrometheusPastOptions } from './prometheus-past.js';

export interface ImportOptions extends SessionOptions {
  pool: string;
  name?: string;
  /** As typed: date or date-time. */
  from?: string;
  to?: string;
  json?: true;
}

interface Standing {
  bucketS: number;
  includedToMs: number | null;
  nextMs: number | null;
}

/** Buckets of one request, half of what the API takes: those without arrivals count as well. */
const PIECE_BUCKETS = 2_500;
/** A year of minutes. */
const MAX_BUCKETS = 600_000;

/** `headroom import csv`: what arrived per step, as `headroom replay` reads it. */
export async function importCsv(
  file: string,
  options: ImportOptions,
  context: CommandContext,
): Promise<ExitCode> {
  const past = await csvPast(file);
  return past.ok ? importFrom(past.value, options, context) : context.fail(past);
}

/** `headroom import prometheus`: a rate over time. */
export async function importPrometheus(
  options: ImportOptions & PrometheusPastOptions,
  context: CommandContext,
): Promise<ExitCode> {
  const past = await prometheusPast(options, Date.now());
  return past.ok ? importFrom(past.value, options, context) : context.fail(past);
}

async function importFrom(past: Past, options: ImportOptions, context: CommandContext): Promise<ExitCode> {
  const wanted = wantedSpan(options);
  if (!wanted.ok) return context.fail({ code: EXIT.usage, message: wanted.problem });
  const opened = await openApiSession(options, ['events:write'], context);
  if (!opened.ok) return context.fail(opened);
  const { session } = opened;
  const { pool, name = past.name } = options;
  const path = `/v1/pools/${pool}/history`;
  const standing = await session.call<Standing>('GET', `${path}?name=${encodeURIComponent(name)}`);
  if (!standing.ok) return context.fail(standing);
  const { bucketS } = standing.body;
  const span = spanOf(past.span, wanted.span, standing.body);
  const buckets = (span.toMs - span.fromMs) / (bucketS * 1000);
  if (!(buckets >= 1 && buckets <= MAX_BUCKETS)) return context.fail(noSpan(span, standing.body));
  const found = await past.steps(span, bucketS);
  if (!found.ok) return context.fail(found);
  const history = rebucketed(found.value, bucketS).filter(
    ({ startMs }) => startMs >= span.fromMs && startMs < span.toMs,
  );
  if (history.length === 0)
    return context.fail({
      code: EXIT.usage,
      message: `history: must have arrivals in ${textOf(span)}, got none`,
    });
  const failed = await send({ session, path, name, bucketS, span, history }, context);
  if (failed !== undefined) return context.fail(failed);
  const arrivals = history.reduce((sum, bucket) => sum + bucket.arrivals, 0);
  const [from, to] = [isoOf(span.fromMs), isoOf(span.toMs)];
  context.print(
    options.json
      ? JSON.stringify({ pool, name, from, to, bucketS, buckets, arrivals })
      : `pool ${pool}: ${arrivals} arrivals in ${buckets} buckets, ${textOf(span)}`,
  );
  return EXIT.ok;
}

function wantedSpan({
  pool,
  from,
  to,
}: ImportOptions): { ok: true; span: Span } | { ok: false; problem: string } {
  if (!poolName.safeParse(pool).success)
    return { ok: false, problem: `--pool: must be lower-case letters, digits and dashes, got ${pool}` };
  const [fromMs, toMs] = [from, to].map((text) => (text === undefined ? undefined : parseDateTime(text)));
  for (const [option, text, timeMs] of [
    ['--from', from, fromMs],
    ['--to', to, toMs],
  ] as const) {
    if (text !== undefined && timeMs === undefined)
      return {
        ok: false,
        problem: `${option}: must be a date or date-time like 2026-11-01T12:00, got ${text}`,
      };
  }
  return { ok: true, span: { fromMs: fromMs ?? -Infinity, toMs: toMs ?? Infinity } };
}

/** What there is, what is wanted, what is not in yet, and what nothing else has counted: in whole buckets. */
function spanOf(there: Span, wanted: Span, { bucketS, includedToMs, nextMs }: Standing): Span {
  const bucketMs = bucketS * 1000;
  const fromMs = Math.max(there.fromMs, wanted.fromMs, includedToMs ?? -Infinity);
  const toMs = Math.min(there.toMs, wanted.toMs, nextMs ?? Infinity, Date.now());
  return { fromMs: Math.ceil(fromMs / bucketMs) * bucketMs, toMs: Math.floor(toMs / bucketMs) * bucketMs };
}

function noSpan(span: Span, { includedToMs, nextMs, bucketS }: Standing) {
  const known = [
    ...(includedToMs === null ? [] : [`this history is in up to ${isoOf(includedToMs)}`]),
    ...(nextMs === null ? [] : [`other demand begins at ${isoOf(nextMs)}`]),
  ].join(', ');
  const rule = `must have 1 to ${MAX_BUCKETS} buckets of ${bucketS} s that are not there yet`;
  const message = `history: ${rule}, got ${textOf(span)}${known === '' ? '' : ` (${known})`}`;
  return { code: EXIT.usage, message, hint: 'see --from and --to' };
}

async function send(
  given: {
    session: ApiSession;
    path: string;
    name: string;
    bucketS: number;
    span: Span;
    history: HistoryBucket[];
  },
  context: CommandContext,
): Promise<SessionFailure | undefined> {
  const { session, path, name, bucketS, span, history } = given;
  const pieceMs = PIECE_BUCKETS * bucketS * 1000;
  let sent = 0;
  for (let fromMs = span.fromMs; fromMs < span.toMs; fromMs += pieceMs) {
    const toMs = Math.min(span.toMs, fromMs + pieceMs);
    const end = history.findIndex(({ startMs }, i) => i >= sent && startMs >= toMs);
    const buckets = history.slice(sent, end === -1 ? undefined : end);
    sent += buckets.length;
    const taken = await session.call('POST', path, {
      name,
      fromMs,
      toMs,
      buckets,
      isLast: toMs === span.toMs,
    });
    if (!taken.ok) return taken;
    if (context.progress.isTerminal)
      context.progress.write(`\r\u001b[K${Math.floor((100 * sent) / history.length)} %`);
  }
  if (context.progress.isTerminal) context.progress.write('\r\u001b[K');
  return undefined;
}

function textOf({ fromMs, toMs }: Span): string {
  return `${isoOf(fromMs)} to ${isoOf(toMs)}`;
}

function isoOf(timeMs: number): string {
  if (!Number.isFinite(timeMs)) return timeMs > 0 ? 'now' : 'the beginning';
  return new Date(timeMs).toISOString().replace('.000Z', 'Z');
}
