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
    const rule = `sources.${name}.${key}: must be a readable file with a secret`;
    try {
      const [password = ''] = (await readFile(file, 'utf8')).split(/\r?\n/);
      if (password === '') return { ok: false, problem: `${rule}, got an empty one` };
      passwords.set(name, password);
    } catch (error) {
      return {
        ok: false,
        problem: `${rule}, got ${(error as NodeJS.ErrnoException).code} (${file})`,
      };
    }
  }
  return { ok: true, passwords };
}

function secretFileOf(source: EventSourceConfig): [key: string, file: string | undefined] {
  if ('passwordFile' in source) return ['passwordFile', source.passwordFile];
  return ['tokenFile', 'tokenFile' in source ? source.tokenFile : undefined];
}
