import { z } from 'zod';

export interface PrometheusAddress {
  /** Where its API begins: `/api/v1/…` follows. */
  url: string;
  /** Bearer token. */
  token?: string | undefined;
}

/** A query over a range, as its API has it: evaluated at fromMs, and every stepS up to toMs, that included. */
export interface RangeQuery {
  query: string;
  fromMs: number;
  toMs: number;
  stepS: number;
}

export interface PrometheusSeries {
  labels: Readonly<Record<string, string>>;
  /** In order of time; a time without a value is left out. */
  values: readonly { atMs: number; value: number }[];
}

/** Prometheus says why in its answer; whoever wrote the query wants to read it. */
export class QueryRefused extends Error {
  override name = 'QueryRefused';

  constructor(
    message: string,
    /** Of its answer. */
    readonly status?: number,
  ) {
    super(message);
  }
}

const ANSWER_MS = 10_000;
/** Of one query; what is valid has some 30 bytes for each of 11,000 points. Eight pools of a source are asked for at once. */
const MAX_ANSWER_BYTES = 4 * 1_048_576;
const MAX_MESSAGE_CHARS = 300;

const answer = z.union([
  z.object({
    status: z.literal('success'),
    data: z.object({
      resultType: z.literal('matrix'),
      result: z.array(
        z.object({
          metric: z.record(z.string(), z.string()),
          values: z.array(z.tuple([z.number(), z.string()])).optional(),
        }),
      ),
    }),
  }),
  z.object({ status: z.literal('error'), error: z.string() }),
]);

/** Asks for a query's values over a range. Rejects with {@link QueryRefused}, or when nobody answers in time. */
export async function queryRange(address: PrometheusAddress, range: RangeQuery): Promise<PrometheusSeries[]> {
  const { status, text } = await answered(address, range);
  const parsed = answer.safeParse(jsonOf(text));
  if (!parsed.success)
    throw new QueryRefused(
      `prometheus: must answer with a matrix, got status ${status} and something else`,
      status,
    );
  if (parsed.data.status === 'error')
    throw new QueryRefused(`prometheus: ${parsed.data.error.slice(0, MAX_MESSAGE_CHARS)}`, status);
  return parsed.data.data.result.map(({ metric, values = [] }) => ({
    labels: metric,
    values: values.flatMap(([atS, text]) => valueOf(atS, text)),
  }));
}

async function answered(
  { url, token }: PrometheusAddress,
  { query, fromMs, toMs, stepS }: RangeQuery,
): Promise<{ status: number; text: string }> {
  const range = { start: String(fromMs / 1000), end: String(toMs / 1000), step: String(stepS) };
  try {
    const reply = await fetch(`${url.replace(/\/$/, '')}/api/v1/query_range`, {
      method: 'POST',
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body: new URLSearchParams({ query, ...range }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status: reply.status, text: await boundedText(reply) };
  } catch (error) {
    throw error instanceof QueryRefused ? error : unreachable(error as Error);
  }
}

/** `fetch failed` says nothing; its cause does. */
function unreachable(error: Error): Error {
  const { message, code } = (error.cause ?? error) as { message: string; code?: unknown };
  const actual = typeof code === 'string' ? code : message;
  return new Error(`prometheus: must answer within ${ANSWER_MS} ms, got ${actual}`, { cause: error });
}

/** NaN is how a ratio says that there was nothing. */
function valueOf(atS: number, text: string): { atMs: number; value: number }[] {
  const value = text === '+Inf' ? Infinity : Number(text);
  return Number.isFinite(value) ? [{ atMs: Math.round(atS * 1000), value }] : [];
}

async function boundedText(reply: Response): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of reply.body ?? []) {
    bytes += (part as Uint8Array).byteLength;
    if (bytes > MAX_ANSWER_BYTES)
      throw new QueryRefused(`prometheus: must answer with at most ${MAX_ANSWER_BYTES} bytes, got more`);
    parts.push(Buffer.from(part as Uint8Array));
  }
  return Buffer.concat(parts).toString('utf8');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
