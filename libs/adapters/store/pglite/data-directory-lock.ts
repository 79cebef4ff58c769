import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** The operating system's lock on the data directory; freed by the kernel when the process dies, however it dies. */
export interface DataDirectoryLock {
  release(): void;
}

/**
 * Two PGlite engines on one directory destroy it (neither checks for the other), so one process holds an exclusive
 * SQLite lock on a file beside it: portable, and nothing stale remains after a kill.
 */
export function lockDataDirectory(dataDir: string): DataDirectoryLock | 'in-use' {
  const lock = new DatabaseSync(join(dataDir, 'lock.sqlite'));
  try {
    lock.exec(
      'pragma locking_mode = exclusive; begin exclusive; create table if not exists lock (x); commit',
    );
  } catch (error) {
    lock.close();
    if (/locked|busy/i.test((error as Error).message)) return 'in-use';
    throw error;
  }
  return { release: () => lock.close() };
}
