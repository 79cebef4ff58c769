import { parsePath, valueAt, type Path, type Roots } from './path.js';

/** Values of records in one template. */
const MAX_HOLES = 8;
export const MAX_TEMPLATE_CHARS = 300;

/** Text with values of the record in it, e.g. `{queue}/{jobId}`; without any it is a constant. */
export interface Template {
  parts: readonly (string | Path)[];
  /** As it was written. */
  text: string;
}

/** Undefined: a brace has no partner, or what it encloses is no path. */
export function parseTemplate(text: string): Template | undefined {
  const parts: (string | Path)[] = [];
  for (const piece of text.split(/(\{[^{}]*\})/)) {
    if (piece === '') continue;
    const part = /^\{.*\}$/s.test(piece) ? parsePath(piece.slice(1, -1)) : piece;
    // What the pattern left of a brace has no partner.
    if (part === undefined || (typeof part === 'string' && /[{}]/.test(part))) return undefined;
    parts.push(part);
  }
  const holes = parts.filter((part) => typeof part !== 'string');
  return holes.length > MAX_HOLES ? undefined : { parts, text };
}

/** The text, or undefined when one of its values is not there. */
export function fill({ parts }: Template, roots: Roots): string | undefined {
  let text = '';
  for (const part of parts) {
    const piece = typeof part === 'string' ? part : textOf(valueAt(part, roots));
    if (piece === undefined) return undefined;
    text += piece;
  }
  return text;
}

/** The first template whose values are all there. */
export function firstText(templates: readonly Template[], roots: Roots): string | undefined {
  for (const template of templates) {
    const text = fill(template, roots);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** A value as text. Null, an empty text, objects and arrays are none. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}
