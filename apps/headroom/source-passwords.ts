import { readFile } from 'node:fs/promises';
import type { EventSourceConfig } from './event-sources-config.js';

export type ReadPasswords =
  { ok: true; passwords: ReadonlyMap<string, string> } | { ok: false; problem: string };

/** Reads the password or token files of all sources that name one: the first line of each, by the source's name. */
export async function readSourcePasswords(
  sources: Record<string, EventSourceConfig>,
): Promise<ReadPasswords> {
  const passwords = new Map<string, string>();
  for (const [name, source] of Object.entries(sources)) {
    const [key, file] = secretFileOf(source);
    if (file === undefined) continue;
    const read = await readSecret(file);
    const rule = `sources.${name}.${key}: must be a readable file with a secret`;
    if (!read.ok) return { ok: false, problem: `${rule}, got ${read.actual}` };
    passwords.set(name, read.secret);
  }
  return { ok: true, passwords };
}

/** The first line of a file, or what is there instead. */
export async function readSecret(
  file: string,
): Promise<{ ok: true; secret: string } | { ok: false; actual: string }> {
  try {
    const [secret = ''] = (await readFile(file, 'utf8')).split(/\r?\n/);
    return secret === '' ? { ok: false, actual: 'an empty one' } : { ok: true, secret };
  } catch (error) {
    return { ok: false, actual: `${(error as NodeJS.ErrnoException).code} (${file})` };
  }
}

function secretFileOf(source: EventSourceConfig): [key: string, file: string | undefined] {
  if ('passwordFile' in source) return ['passwordFile', source.passwordFile];
  return ['tokenFile', 'tokenFile' in source ? source.tokenFile : undefined];
}
