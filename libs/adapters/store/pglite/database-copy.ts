import { constants, copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { freeBytesIn, MIN_FREE_BYTES, spaceProblem } from './free-space.js';

/** Folders of the data directory that hold a copy begin so: one that is found at a start is left over. */
export const COPY_PREFIX = 'copy-';
/** Nothing else is done while files are copied: a database that takes longer must be copied when it is at rest. */
const MAX_COPY_MS = 10_000;

/** Copies the files of a database that nobody writes meanwhile. Throws `disk_full` before it begins, or when it takes too long. */
export function copyDatabase(from: string, to: string, maxMs = MAX_COPY_MS): void {
  const files = readdirSync(from, { recursive: true, withFileTypes: true });
  const bytes = files
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  const full = spaceProblem(freeBytesIn(dirname(to)), MIN_FREE_BYTES + bytes);
  if (full !== undefined) throw Object.assign(new Error(full.message), full);
  const startedMs = performance.now();
  mkdirSync(to, { recursive: true });
  for (const entry of files) {
    const target = join(to, entry.parentPath.slice(from.length), entry.name);
    if (entry.isDirectory()) mkdirSync(target);
    // A file system that can share the blocks until one of the files changes does so.
    else copyFileSync(join(entry.parentPath, entry.name), target, constants.COPYFILE_FICLONE);
    if (performance.now() - startedMs > maxMs)
      throw new Error(`data directory: must be copied within ${maxMs} ms, has ${bytes} bytes`);
  }
}

/** What a process that was killed while it copied has left. */
export function removeCopies(dataDir: string): void {
  for (const name of readdirSync(dataDir).filter((other) => other.startsWith(COPY_PREFIX)))
    rmSync(join(dataDir, name), { recursive: true, force: true });
}
