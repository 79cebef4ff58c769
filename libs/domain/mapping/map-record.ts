import { checkExecutionEvent, type Phase } from '#domain/events';
import { allHold } from './condition.js';
import { eventTimes } from './event-times.js';
import type { MappingRules } from './mapping.js';
import { missing, refuse, refused, shown, type Mapped, type OrRefused } from './outcome.js';
import { valueAt, type Roots } from './path.js';
import { poolNameOf } from './pool-name.js';
import { firstText, textOf } from './template.js';

/** A mapping with the name under which it is configured. */
export interface Mapping extends MappingRules {
  name: string;
}

/** A record larger than this is refused before it is parsed (bytes of its JSON). */
export const MAX_RECORD_BYTES = 262_144;
/** Elements of one record. */
export const MAX_ELEMENTS = 1_000;
/** Longest taskType, workerId, errorClass. Messages of errors are longer, and nobody counts by them. */
const MAX_LABEL_CHARS = 200;

/** What is known of a record beside itself: what paths that start with `@` lead into. */
export type About = Readonly<Record<string, unknown>>;

/** Like {@link mapRecord}, for the text of a record. */
export function mapText(text: string, mapping: Mapping, about: About = {}): Mapped[] {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_RECORD_BYTES)
    return [refuse('oversized', `record: must have at most ${MAX_RECORD_BYTES} bytes, got ${bytes}`)];
  try {
    return mapRecord(JSON.parse(text), mapping, about);
  } catch (error) {
    return [refuse('malformed_json', (error as Error).message)];
  }
}

/**
 * What becomes of a record, or with `each` of its elements, in their order. Depends on nothing else, so that a record
 * that is sent again becomes the same events with the same ids. Never throws: a bad record is an outcome.
 */
export function mapRecord(record: unknown, mapping: Mapping, about: About = {}): Mapped[] {
  const roots = { element: record, record, about };
  const { each } = mapping;
  if (each === undefined) return [mapElement(roots, mapping)];
  const elements = valueAt(each, roots);
  if (!Array.isArray(elements)) {
    const rule = `${each.text}: must be an array, got ${shown(elements)}`;
    return [ignoredBy(roots, mapping) ?? refuse('missing', rule)];
  }
  if (elements.length > MAX_ELEMENTS) {
    const rule = `must have at most ${MAX_ELEMENTS} elements, got ${elements.length}`;
    return [refuse('too_many_elements', `${each.text}: ${rule}`)];
  }
  return elements.map((element: unknown) => mapElement({ element, record, about }, mapping));
}

function mapElement(roots: Roots, mapping: Mapping): Mapped {
  const ignored = ignoredBy(roots, mapping);
  if (ignored !== undefined) return ignored;
  const phase = phaseIn(roots, mapping);
  if (!phase.ok) return phase.refused;
  if (phase.value === 'ignore')
    return { outcome: 'ignored', why: 'its status says nothing about executions' };
  const event = eventIn(phase.value, roots, mapping);
  if (!event.ok) return event.refused;
  const checked = checkExecutionEvent(event.value);
  return checked.ok ? { outcome: 'mapped', event: checked.event } : refuse(checked.reason, checked.detail);
}

function ignoredBy(roots: Roots, { ignore = [] }: Mapping): Mapped | undefined {
  const entry = ignore.find(({ when }) => allHold(when, roots));
  return entry && { outcome: 'ignored', why: entry.why };
}

function phaseIn(roots: Roots, { status }: Mapping): OrRefused<Phase | 'ignore'> {
  if ('rules' in status) {
    const rule = status.rules.find(({ when }) => allHold(when, roots));
    if (rule !== undefined) return { ok: true, value: rule.phase };
    return refused('unknown_status', 'status: one of its rules must hold, got none');
  }
  const text = firstText(status.text, roots);
  if (text === undefined) return missing('status', status.text);
  const value = status.values.get(text);
  if (value !== undefined) return { ok: true, value };
  if (status.otherwise === 'ignore') return { ok: true, value: 'ignore' };
  const known = [...status.values.keys()].join(', ');
  return refused('unknown_status', `status: must be one of ${known}, got ${shown(text)}`);
}

/** The event as a sender would write it; the schema of events judges it. */
function eventIn(phase: Phase, roots: Roots, mapping: Mapping): OrRefused<unknown> {
  const { name, source = name, execution, id } = mapping;
  const executionId = firstText(execution, roots);
  if (executionId === undefined) return missing('execution', execution);
  const pool = poolIn(roots, mapping);
  if (!pool.ok) return pool;
  const attempt = attemptIn(roots, mapping);
  if (!attempt.ok) return attempt;
  const times = eventTimes(phase, roots, mapping.times);
  if (!times.ok) return times;
  // Ids of two platforms that happened to meet would be one execution, which counts once.
  const subject = `${source}:${executionId}`;
  const value = {
    specversion: '1.0',
    id: (id && firstText(id, roots)) ?? `${subject}/${attempt.value}/${phase}`,
    source,
    type: `com.headroom.execution.${phase}.v1`,
    subject,
    data: {
      pool: pool.value,
      attempt: attempt.value,
      ...labelIn('taskType', roots, mapping),
      ...labelIn('workerId', roots, mapping),
      ...(phase === 'failed' && labelIn('errorClass', roots, mapping)),
      ...times.value,
    },
  };
  return { ok: true, value };
}

function poolIn(roots: Roots, { pool }: Mapping): OrRefused<string> {
  const text = firstText(pool.text, roots);
  if (text === undefined) return missing('pool', pool.text);
  const name = pool.values.get(text) ?? poolNameOf(text);
  if (name !== undefined) return { ok: true, value: name };
  return refused('missing', `pool: must have a letter or a digit, got ${shown(text)}`);
}

/** Platforms that count tries from 1 say 0 of what nobody has tried yet. */
function attemptIn(roots: Roots, { attempt }: Mapping): OrRefused<number> {
  if (attempt === undefined) return { ok: true, value: 1 };
  const value = valueAt(attempt.path, roots);
  const number = Number(textOf(value) ?? Number.NaN) + attempt.plus;
  if (Number.isInteger(number) && number >= 0) return { ok: true, value: Math.max(1, number) };
  return refused(
    'unreadable_attempt',
    `attempt: must be a number, got ${shown(value)} (${attempt.path.text})`,
  );
}

function labelIn(field: 'taskType' | 'workerId' | 'errorClass', roots: Roots, mapping: Mapping): object {
  const templates = mapping[field];
  const text = templates && firstText(templates, roots);
  return text === undefined ? {} : { [field]: text.slice(0, MAX_LABEL_CHARS) };
}
