/** How a platform writes a time: seconds, milliseconds, micro- or nanoseconds since 1970, or ISO 8601. */
export const TIME_UNITS = ['s', 'ms', 'us', 'ns', 'iso'] as const;
export type TimeUnit = (typeof TIME_UNITS)[number];

const PER_MS: Record<Exclude<TimeUnit, 'iso'>, number> = { s: 1e-3, ms: 1, us: 1e3, ns: 1e6 };
/** An execution's times lie in between: a number that does not is in another unit, or no time. */
const EARLIEST_MS = Date.UTC(2000, 0);
const LATEST_MS = Date.UTC(2100, 0);
const NUMBER = /^\d+(\.\d+)?$/;
const DATE_TIME =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?(Z|[+-]\d{2}(?::?\d{2})?)?$/i;

/**
 * Epoch ms. `nothing`: the platform says that it did not happen (null, an empty text, 0, or the year 1 as Go writes it).
 * `unreadable`: it is no time from 2000 to 2100 in this unit. An ISO time without a zone is UTC.
 */
export function timeOf(value: unknown, unit: TimeUnit): number | 'nothing' | 'unreadable' {
  if (value === undefined || value === null || value === '') return 'nothing';
  const timeMs = readMs(value, unit);
  if (timeMs <= 0) return 'nothing';
  return isPlausible(timeMs) ? timeMs : 'unreadable';
}

/** A unit in which it would be a time; undefined: in none. */
export function likelyUnit(value: unknown): TimeUnit | undefined {
  return TIME_UNITS.find((unit) => isPlausible(readMs(value, unit)));
}

function isPlausible(timeMs: number): boolean {
  return timeMs >= EARLIEST_MS && timeMs < LATEST_MS;
}

function readMs(value: unknown, unit: TimeUnit): number {
  return unit === 'iso' ? isoMs(value) : countMs(value, unit);
}

/** A duration in ms; `nothing` and `unreadable` as for times. */
export function durationOf(
  value: unknown,
  unit: Exclude<TimeUnit, 'iso'>,
): number | 'nothing' | 'unreadable' {
  if (value === undefined || value === null || value === '') return 'nothing';
  const durationMs = countMs(value, unit);
  return durationMs >= 0 ? durationMs : 'unreadable';
}

function countMs(value: unknown, unit: Exclude<TimeUnit, 'iso'>): number {
  if (typeof value === 'string' && NUMBER.test(value)) return Number(value) / PER_MS[unit];
  return typeof value === 'number' && Number.isFinite(value) ? value / PER_MS[unit] : Number.NaN;
}

function isoMs(value: unknown): number {
  const found = typeof value === 'string' ? DATE_TIME.exec(value) : null;
  if (found === null) return Number.NaN;
  const [, date = '', clock = '', fraction = '', zone = 'Z'] = found;
  // Date.parse turns 30 February into 2 March.
  if (new Date(`${date}T00:00:00Z`).toJSON()?.slice(0, 10) !== date) return Number.NaN;
  const seconds = Date.parse(`${date}T${clock.padEnd(8, ':00')}${withColon(zone)}`);
  return seconds + Number(`0.${fraction || 0}`) * 1000;
}

/** `+0200` and `+02` as `+02:00`. */
function withColon(zone: string): string {
  if (/^z$/i.test(zone)) return 'Z';
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0');
  return `${zone[0]}${digits.slice(0, 2)}:${digits.slice(2)}`;
}
