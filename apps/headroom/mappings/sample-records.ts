import { readFile, stat } from 'node:fs/promises';

/** A record of a sample file as text, with what its source would know about it. */
export interface SampleRecord {
  /** Where it begins, from 1; its place from 1 when the file is one array. */
  line: number;
  text: string;
  /** The record's own key `@`, which is no part of it. */
  about: Record<string, unknown>;
}

export type SampleFile =
  { ok: true; counted: 'line' | 'record'; records: SampleRecord[] } | { ok: false; problem: string };

/** Reading a sample takes some ten times its size in memory. */
const MAX_BYTES = 64 * 1_048_576;

/** Reads JSON lines, a JSON array of records, or one record; a line that is no JSON stays one for the mapping to refuse. */
export async function readSamples(file: string): Promise<SampleFile> {
  try {
    const { size } = await stat(file);
    if (size > MAX_BYTES) return { ok: false, problem: `${file}: at most ${MAX_BYTES} bytes, got ${size}` };
    return samplesOf(await readFile(file, 'utf8'), file);
  } catch (error) {
    const actual = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    return { ok: false, problem: `${file}: must be a readable file, got ${actual}` };
  }
}

function samplesOf(content: string, file: string): SampleFile {
  const text = content.replace(/^\uFEFF/, '');
  const lines = text
    .split(/\r?\n/)
    .flatMap((line, i) => (line.trim() === '' ? [] : [{ text: line, line: i + 1 }]));
  if (lines.length === 0) return { ok: false, problem: `${file}: must have at least one record, got none` };
  const whole = parsed(text);
  if (whole === undefined || (lines.length === 1 && !Array.isArray(whole)))
    return { ok: true, counted: 'line', records: lines.map(sampleOf) };
  const records = (Array.isArray(whole) ? whole : [whole]) as unknown[];
  if (records.length === 0) return { ok: false, problem: `${file}: must have at least one record, got none` };
  const texts = records.map((record, i) => ({ text: JSON.stringify(record), line: i + 1 }));
  return { ok: true, counted: 'record', records: texts.map(sampleOf) };
}

function sampleOf({ text, line }: { text: string; line: number }): SampleRecord {
  const record = parsed(text);
  if (typeof record !== 'object' || record === null || !Object.hasOwn(record, '@'))
    return { line, text, about: {} };
  const { '@': about, ...rest } = record as Record<string, unknown>;
  return { line, text: JSON.stringify(rest), about: (about ?? {}) as Record<string, unknown> };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
