import type { ExecutionEvent, Refusal } from '#domain/events';
import type { Template } from './template.js';

/** Why a record, or an element of it, cannot become an event. Each is a counter and a dead-letter reason. */
export const MAPPING_REFUSALS = [
  'missing',
  'unknown_status',
  'unreadable_time',
  'unreadable_attempt',
  'too_many_elements',
] as const;
export type MappingRefusal = (typeof MAPPING_REFUSALS)[number] | Refusal;

export interface Refused {
  outcome: 'refused';
  reason: MappingRefusal;
  /** `what: rule, got actual` */
  detail: string;
}

/** What becomes of a record, or of each element of it. */
export type Mapped =
  { outcome: 'mapped'; event: ExecutionEvent } | { outcome: 'ignored'; why: string } | Refused;

/** A part of the event, or why there is none. */
export type OrRefused<T> = { ok: true; value: T } | { ok: false; refused: Refused };

/** Characters of a value that an error text shows. */
const MAX_SHOWN_CHARS = 80;

export function refuse(reason: MappingRefusal, detail: string): Refused {
  return { outcome: 'refused', reason, detail };
}

export function refused(reason: MappingRefusal, detail: string): { ok: false; refused: Refused } {
  return { ok: false, refused: refuse(reason, detail) };
}

/** None of the templates or paths leads to a value. */
export function missing(
  what: string,
  places: readonly Pick<Template, 'text'>[],
): { ok: false; refused: Refused } {
  const where = places.map(({ text }) => text).join(' or ');
  return refused('missing', `${what}: must be there, got nothing at ${where}`);
}

/** A value of a record for an error text; what is in an object or array is not shown. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  const text = JSON.stringify(value);
  return text.length <= MAX_SHOWN_CHARS ? text : `${text.slice(0, MAX_SHOWN_CHARS - 1)}…`;
}
