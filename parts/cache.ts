import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

/** Where what was obtained is kept, outside any checkout: the user's cache folder, by name and version. */
export function cacheFolder(name: string, version: string): string {
  const given = process.env.XDG_CACHE_HOME ?? '';
  // A relative path is invalid by the XDG base directory specification, and ignored.
  const base = isAbsolute(given) ? given : join(homedir(), '.cache');
  return join(base, 'headroom', 'parts', name, version);
}

/** `fill` writes into a folder beside it; only a complete one is seen under its name. */
export async function fillCacheFolder(folder: string, fill: (into: string) => Promise<void>): Promise<void> {
  const into = `${folder}.${randomUUID()}`;
  await mkdir(into, { recursive: true });
  try {
    await fill(into);
    await rm(folder, { recursive: true, force: true });
    await mkdir(dirname(folder), { recursive: true });
    await rename(into, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error; // otherwise another run was quicker
    });
  } finally {
    await rm(into, { recursive: true, force: true });
  }
}
