import { once } from 'node:events';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { syncPath, syncTree } from './durable-node-fs.js';

/**
 * Makes sure that there is a database in the folder. A new one is made beside it, synced, and put in place at once: a
 * start that is killed leaves no half of a database behind.
 */
export async function makeDatabase(folder: string): Promise<void> {
  if (existsSync(folder)) return;
  const unfinished = `${folder}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  const thread = new Worker(new URL('./make-database.thread.js', import.meta.url), {
    workerData: { folder: unfinished },
  });
  const [code] = (await once(thread, 'exit')) as [number];
  if (code !== 0) throw new Error(`embedded store: its database must be made, got exit code ${code}`);
  syncTree(unfinished);
  renameSync(unfinished, folder);
  syncPath(dirname(folder));
}
