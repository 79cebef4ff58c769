import type { ExecutionEvent, Phase } from '#domain/events';
import { allHold } from './condition.js';
import type { MappingRules, TimeFields } from './mapping.js';
import { missing, refused, shown, type OrRefused } from './outcome.js';
import { valueAt, type Roots } from './path.js';
import { durationOf, likelyUnit, timeOf, type TimeUnit } from './time.js';

/**
 * Clocks of a platform's machines may differ by this much: an earlier time that lies behind a later one by less is moved
 * to it. Beyond it one of the two is wrong, and the event is refused.
 */
export const MAX_SKEW_MS = 60_000;

const NAMES = ['queuedAt', 'startedAt', 'endedAt', 'at'] as const;
const OWN = { queued: 'queuedAt', started: 'startedAt', completed: 'endedAt', failed: 'endedAt' } as const;

export type EventTimes = Pick<ExecutionEvent['data'], 'queuedAtMs' | 'startedAtMs' | 'endedAtMs' | 'assumed'>;

/** The time of the phase that a record tells, and of those before it: told, or assumed to be the next later one. */
export function eventTimes(phase: Phase, roots: Roots, times: MappingRules['times']): OrRefused<EventTimes> {
  const told: Partial<Record<(typeof NAMES)[number], number>> = {};
  for (const name of NAMES) {
    const read = toldTime(name, roots, times);
    if (!read.ok) return read;
    if (read.value !== undefined) told[name] = read.value;
  }
  const own = OWN[phase];
  const ownMs = told[own] ?? told.at;
  if (ownMs === undefined) return missing(`times.${own}`, placesOf(times[own] ?? times.at));
  if (phase === 'queued') return { ok: true, value: { queuedAtMs: ownMs } };
  // A platform that says when executions start says here that this one failed before it did.
  const neverStarted = phase === 'failed' && told.startedAt === undefined && times.startedAt !== undefined;
  const startedAtMs = phase === 'started' ? ownMs : notAfter(ownMs, told.startedAt);
  const queuedAtMs = notAfter(neverStarted ? ownMs : startedAtMs, told.queuedAt);
  const assumed = [
    ...(told.queuedAt === undefined ? (['queuedAtMs'] as const) : []),
    ...(phase === 'started' || neverStarted || told.startedAt !== undefined
      ? []
      : (['startedAtMs'] as const)),
  ];
  const value: EventTimes = {
    queuedAtMs,
    ...(!neverStarted && { startedAtMs }),
    ...(own === 'endedAt' && { endedAtMs: ownMs }),
    ...(assumed.length > 0 && { assumed }),
  };
  return { ok: true, value };
}

/** An earlier time; not known, or later only because clocks differ: the later one. */
function notAfter(laterMs: number, earlierMs: number = laterMs): number {
  return earlierMs > laterMs && earlierMs - laterMs <= MAX_SKEW_MS ? laterMs : earlierMs;
}

function toldTime(
  name: (typeof NAMES)[number],
  roots: Roots,
  times: MappingRules['times'],
): OrRefused<number | undefined> {
  for (const { path, unit = times.unit, plus, when } of times[name] ?? []) {
    if (!allHold(when, roots)) continue;
    const value = valueAt(path, roots);
    const timeMs = timeOf(value, unit);
    if (timeMs === 'unreadable') return unreadable(`times.${name}`, unit, value, path.text);
    const added = plus === undefined ? 0 : durationOf(valueAt(plus.path, roots), plus.unit);
    if (added === 'unreadable')
      return unreadable(`times.${name}.plus`, plus!.unit, valueAt(plus!.path, roots), plus!.path.text);
    if (timeMs !== 'nothing' && added !== 'nothing') return { ok: true, value: timeMs + added };
  }
  return { ok: true, value: undefined };
}

const SPELLED: Record<TimeUnit, string> = {
  s: 'in seconds',
  ms: 'in milliseconds',
  us: 'in microseconds',
  ns: 'in nanoseconds',
  iso: 'in ISO 8601',
};

function unreadable(what: string, unit: TimeUnit, value: unknown, where: string) {
  const likely = likelyUnit(value);
  const hint =
    likely === undefined || likely === unit ? '' : `; it is a time ${SPELLED[likely]}, unit ${likely}`;
  return refused(
    'unreadable_time',
    `${what}: must be ${SPELLED[unit]}, got ${shown(value)} (${where}${hint})`,
  );
}

function placesOf(fields: TimeFields = []): { text: string }[] {
  return fields.map(({ path }) => path);
}
