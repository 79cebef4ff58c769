import { readFile } from 'node:fs/promises';
import type { EventSourceConfig } from './event-sources-config.js';

export type ReadPasswords =
  { ok: true; passwords: ReadonlyMap<string, string> } | { ok: false; problem: string };

/** Reads the password files of all sources that name one: the first line of each, by the source's name. */
export async function readSourcePasswords(
  sources: Record<string, EventSourceConfig>,
): Promise<ReadPasswords> {
  const passwords = new Map<string, string>();
  for (const [name, source] of Object.entries(sources)) {
    if (source.kind === 'kafka' || source.passwordFile === undefined) continue;
    const rule = `sources.${name}.passwordFile: must be a readable file with a password`;
    try {
      const [password = ''] = (await readFile(source.passwordFile, 'utf8')).split(/\r?\n/);
      if (password === '') return { ok: false, problem: `${rule}, got an empty one` };
      passwords.set(name, password);
    } catch (error) {
      return {
        ok: false,
        problem: `${rule}, got ${(error as NodeJS.ErrnoException).code} (${source.passwordFile})`,
      };
    }
  }
  return { ok: true, passwords };
}
