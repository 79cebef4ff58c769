import {
  queryRange,
  QueryRefused,
  type PrometheusAddress,
  type PrometheusSeries,
} from '#adapters/demand-samplers';
import type { HistorySpan, HistoryStep } from '#domain/demand';
import type { Failure, Outcome } from '../commands/command-context.js';
import { EXIT, exitCodeOfStatus } from '../exit-codes.js';
import { readSecret } from '../source-passwords.js';
import type { Past } from './past.js';

export interface PrometheusPastOptions {
  prometheus: string;
  query: string;
  tokenFile?: string;
}

/** Arrivals per second by a query. */
export async function prometheusPast(options: PrometheusPastOptions): Promise<Outcome<Past>> {
  const { prometheus: url, query, tokenFile } = options;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    return usage(`--prometheus: must be an address that begins with http:// or https://, got ${url}`);
  const { username, password } = new URL(url);
  if (username !== '' || password !== '')
    return usage('--prometheus: must be an address without user and password, got one with them');
  const token = await tokenIn(tokenFile);
  if (!token.ok) return token;
  const address = { url, token: token.value };
  const span = { fromMs: -Infinity, toMs: Infinity };
  const steps: Past['steps'] = (within) => stepsOf(address, query, within);
  return { ok: true, value: { name: 'prometheus', span, steps } };
}

async function tokenIn(file: string | undefined): Promise<Outcome<string | undefined>> {
  if (file === undefined) return { ok: true, value: undefined };
  const read = await readSecret(file);
  if (read.ok) return { ok: true, value: read.secret };
  return usage(`--token-file: must be a readable file with a secret, got ${read.actual}`);
}

async function stepsOf(
  address: PrometheusAddress,
  query: string,
  { fromMs, toMs, bucketS }: HistorySpan,
): Promise<Outcome<HistoryStep[]>> {
  const stepMs = bucketS * 1000;
  // What is measured over a bucket is known at its end.
  const asked = await askFor(address, { query, fromMs: fromMs + stepMs, toMs, stepS: bucketS });
  if (!asked.ok) return asked;
  const steps = (asked.value?.values ?? []).map(({ atMs: endedMs, value }) => {
    return { startMs: endedMs - stepMs, stepMs, arrivals: Math.max(0, value) * bucketS };
  });
  return { ok: true, value: steps };
}

async function askFor(
  address: PrometheusAddress,
  range: Parameters<typeof queryRange>[1],
): Promise<Outcome<PrometheusSeries | undefined>> {
  try {
    const series = await queryRange(address, range);
    if (series.length <= 1) return { ok: true, value: series[0] };
    return usage(`--query: must be one series (sum() makes one), got ${series.length}`);
  } catch (error) {
    const code =
      error instanceof QueryRefused ? exitCodeOfStatus(error.status ?? BAD_REQUEST) : EXIT.unreachable;
    return { ok: false, code, message: (error as Error).message };
  }
}
const BAD_REQUEST = 400;

function usage(message: string): { ok: false } & Failure {
  return { ok: false, code: EXIT.usage, message };
}
