import { parseDateTime } from '#adapters/sources';
import type { ApiOptions } from '../api-session.js';
import type { Failure, Outcome } from '../commands/command-context.js';
import { parseDurationS } from '../commands/duration.js';
import { EXIT } from '../exit-codes.js';

export interface LetterOptions extends ApiOptions {
  json?: true;
}

export interface FilterOptions extends LetterOptions {
  reason?: string;
  source?: string;
  /** As typed: date, date-time, or how long ago. */
  from?: string;
  to?: string;
}

export interface ListOptions extends FilterOptions {
  limit: number;
}

export interface ReplayOptions extends FilterOptions {
  limit?: number;
}

/** As the API takes it. */
export interface LetterFilter {
  reason?: string;
  source?: string;
  from?: string;
  to?: string;
}

/** The filter that was typed; what was left out is left out. */
export function filterOf(options: FilterOptions, nowMs: number): Outcome<LetterFilter> {
  const { reason, source } = options;
  const filter: LetterFilter = {
    ...(reason !== undefined && { reason }),
    ...(source !== undefined && { source }),
  };
  for (const name of ['from', 'to'] as const) {
    const text = options[name];
    if (text === undefined) continue;
    const timeMs = timeOf(text, nowMs);
    if (timeMs === undefined) return noTime(name, text);
    filter[name] = new Date(timeMs).toISOString();
  }
  return { ok: true, value: filter };
}

function timeOf(text: string, nowMs: number): number | undefined {
  const agoS = parseDurationS(text);
  return agoS === undefined ? parseDateTime(text) : nowMs - agoS * 1000;
}

function noTime(name: string, text: string): { ok: false } & Failure {
  return usage(
    `--${name}: must be a date, a date-time like 2026-11-01T12:00 or how long ago (2h), got ${text}`,
  );
}

/** `0/17`: partition and offset in the topic. */
export function placeOf(text: string): Outcome<{ partition: number; offset: number }> {
  const [, partition, offset] = /^(\d{1,6})\/(\d{1,15})$/.exec(text) ?? [];
  if (partition !== undefined && offset !== undefined)
    return { ok: true, value: { partition: Number(partition), offset: Number(offset) } };
  return usage(`letter: must be a place like 0/17, got ${text}`);
}

export function usage(message: string): { ok: false } & Failure {
  return { ok: false, code: EXIT.usage, message };
}
