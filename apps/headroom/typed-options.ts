import { parseDateTime, type TraceWindow } from '#adapters/sources';
import { poolName } from '#domain/events';

/** What is wrong with `--pool`. */
export function poolProblem(pool: string): string | undefined {
  if (poolName.safeParse(pool).success) return undefined;
  return `--pool: must be lower-case letters, digits and dashes, got ${pool}`;
}

/** `--from` and `--to` as typed, as times; undefined where nothing was typed. */
export function timesOf({
  from,
  to,
}: {
  from?: string;
  to?: string;
}): { ok: true; times: TraceWindow } | { ok: false; problem: string } {
  const [fromMs, toMs] = [from, to].map((text) => (text === undefined ? undefined : parseDateTime(text)));
  if (from !== undefined && fromMs === undefined) return notATime('--from', from);
  if (to !== undefined && toMs === undefined) return notATime('--to', to);
  return { ok: true, times: { fromMs, toMs } };
}

function notATime(option: string, actual: string): { ok: false; problem: string } {
  return {
    ok: false,
    problem: `${option}: must be a date or date-time like 1998-06-10T12:00, got ${actual}`,
  };
}
