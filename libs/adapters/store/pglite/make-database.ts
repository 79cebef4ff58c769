import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyDatabase } from './database-copy.js';
import { syncPath, syncTree } from './durable-node-fs.js';

/** From nothing it takes some seconds, on a busy machine many. */
const MAKING_DEADLINE_MS = 120_000;

/** An empty one, which the build makes (scripts/make-new-database.js). */
export const NEW_DATABASE = fileURLToPath(new URL('./new-database', import.meta.url));

export interface MakeDatabaseOptions {
  deadlineMs?: number;
  /** The database that a new one is a copy of; where there is none, it is made from nothing. */
  original?: string;
}

/**
 * Makes sure that there is a database in the folder; called by whoever holds the lock of the data directory. A new one
 * is made beside it, synced, and put in place at once: a start that is killed leaves no half of a database behind. Rejects when
 * that takes longer than the deadline, and with `disk_full`.
 */
export async function makeDatabase(folder: string, options: MakeDatabaseOptions = {}): Promise<void> {
  const { deadlineMs = MAKING_DEADLINE_MS, original = NEW_DATABASE } = options;
  if (existsSync(folder)) return;
  const beside = dirname(folder);
  const unfinished = `${basename(folder)}.new-`;
  for (const name of readdirSync(beside).filter((other) => other.startsWith(unfinished)))
    rmSync(join(beside, name), { recursive: true, force: true });
  // Its own name: the child of a start that was killed a moment ago may still be writing.
  const made = mkdtempSync(join(beside, unfinished));
  if (existsSync(join(original, 'PG_VERSION'))) copyDatabase(original, made, deadlineMs);
  else await makeFromNothing(made, deadlineMs);
  syncTree(made);
  renameSync(made, folder);
  syncPath(beside);
}

async function makeFromNothing(made: string, deadlineMs: number): Promise<void> {
  // What PostgreSQL's initdb prints is for nobody.
  const child = fork(fileURLToPath(new URL('./make-database.child.js', import.meta.url)), [made], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 2, 'ipc'],
    timeout: deadlineMs,
    killSignal: 'SIGKILL',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (child.killed)
    throw new Error(`embedded store: its database must be made within ${deadlineMs} ms, was not (${made})`);
  if (code !== 0)
    throw new Error(`embedded store: its database must be made in ${made}, got exit code ${code}`);
}
