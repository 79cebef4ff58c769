import type { SourceRecord } from '../record-source.js';

/** Without fields: it was trimmed away while a member held it. */
export type Entry = [id: string, fields: string[] | null];
export type StreamEntries = [stream: string, entries: Entry[]][];

/** Where XAUTOCLAIM goes on, and what it gave. Redis 6.2 has a nil in the place of an entry that was trimmed away. */
export function claimedIn(answer: unknown): { next: string; entries: Entry[] } {
  const [next, entries] = answer as [string, (Entry | null)[]];
  return { next, entries: entries.filter((entry) => entry !== null) };
}

export function recordOf(stream: string, id: string, fields: string[]): SourceRecord {
  const timeMs = Number(id.slice(0, id.indexOf('-')));
  return {
    text: JSON.stringify(fieldsOf(fields)),
    about: { stream, parts: stream.split(':'), id, timeMs },
    place: `redis ${stream} ${id}`,
  };
}

/** Names and values in turn, as Redis gives them. */
export function fieldsOf<T>(pairs: readonly T[]): Record<string, T> {
  const entries = Array.from({ length: pairs.length / 2 }, (_, i) => [
    String(pairs[2 * i]),
    pairs[2 * i + 1],
  ]);
  return Object.fromEntries(entries) as Record<string, T>;
}
