import { readFile } from 'node:fs/promises';
import {
  queryRange,
  QueryRefused,
  type PrometheusAddress,
  type PrometheusSeries,
} from '#adapters/demand-samplers';
import type { HistoryStep } from '#domain/demand';
import { EXIT } from '../exit-codes.js';
import type { OrFailure, Past, Span } from './past.js';

export interface PrometheusPastOptions {
  prometheus: string;
  query: string;
  tokenFile?: string;
}

/** What Prometheus keeps unless it is told otherwise: how far back is asked without --from. */
const KEPT_MS = 15 * 86_400_000;
/** Points of one query, half of what Prometheus answers. */
const QUERY_POINTS = 5_000;

/** Arrivals per second by a query. */
export async function prometheusPast(
  options: PrometheusPastOptions,
  nowMs: number,
): Promise<OrFailure<Past>> {
  const { prometheus: url, query, tokenFile } = options;
  if (!URL.canParse(url)) return usage(`--prometheus: must be an address, got ${url}`);
  const token = await tokenIn(tokenFile);
  if (!token.ok) return token;
  const address = { url, token: token.value };
  const span = { fromMs: nowMs - KEPT_MS, toMs: nowMs };
  const steps: Past['steps'] = (within, bucketS) => stepsOf(address, query, within, bucketS);
  return { ok: true, value: { name: 'prometheus', span, steps } };
}

async function stepsOf(
  address: PrometheusAddress,
  query: string,
  { fromMs, toMs }: Span,
  bucketS: number,
): Promise<OrFailure<HistoryStep[]>> {
  const stepMs = bucketS * 1000;
  const steps: HistoryStep[] = [];
  for (let atMs = fromMs; atMs < toMs; atMs += QUERY_POINTS * stepMs) {
    const endMs = Math.min(toMs, atMs + QUERY_POINTS * stepMs);
    // What is measured over a bucket is known at its end.
    const asked = await askFor(address, { query, fromMs: atMs + stepMs, toMs: endMs, stepS: bucketS });
    if (!asked.ok) return asked;
    for (const { atMs: endedMs, value } of asked.value?.values ?? [])
      steps.push({ startMs: endedMs - stepMs, stepMs, arrivals: Math.max(0, value) * bucketS });
  }
  return { ok: true, value: steps };
}

async function askFor(
  address: PrometheusAddress,
  range: Parameters<typeof queryRange>[1],
): Promise<OrFailure<PrometheusSeries | undefined>> {
  try {
    const series = await queryRange(address, range);
    if (series.length <= 1) return { ok: true, value: series[0] };
    return usage(`--query: must be one series (sum() makes one), got ${series.length}`);
  } catch (error) {
    const { message } = error as Error;
    return error instanceof QueryRefused ? usage(message) : { ok: false, code: EXIT.unreachable, message };
  }
}

async function tokenIn(file: string | undefined): Promise<OrFailure<string | undefined>> {
  if (file === undefined) return { ok: true, value: undefined };
  try {
    return { ok: true, value: (await readFile(file, 'utf8')).trim() };
  } catch (error) {
    return usage(`--token-file: must be a readable file, got ${(error as NodeJS.ErrnoException).code}`);
  }
}

function usage(message: string): { ok: false; code: typeof EXIT.usage; message: string } {
  return { ok: false, code: EXIT.usage, message };
}
