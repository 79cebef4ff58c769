// PGlite as it ships, in a thread: what the embedded store would be without the hook that makes commits reach the disk.
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import type { UnsyncedReply, UnsyncedRequest } from './unsynced-engine.js';

const port = parentPort!;
const db = await PGlite.create((workerData as { dataDir: string }).dataDir);

async function answer({ statements, isAtomic }: UnsyncedRequest): Promise<Record<string, unknown>[]> {
  if (!isAtomic) return run(db, statements[0]!);
  return db.transaction(async (transaction) => {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) rows = await run(transaction, statement);
    return rows;
  });
}

async function run(
  target: Pick<PGlite, 'query' | 'exec'>,
  { sql, params }: UnsyncedRequest['statements'][number],
): Promise<Record<string, unknown>[]> {
  if (params !== undefined && params.length > 0) return (await target.query(sql, params)).rows as never;
  return ((await target.exec(sql)).at(-1)?.rows ?? []) as Record<string, unknown>[];
}

let last: Promise<unknown> = Promise.resolve();
port.on('message', (request: UnsyncedRequest) => {
  last = last.then(async () => {
    const reply: UnsyncedReply = await answer(request).then(
      (rows) => ({ id: request.id, rows }),
      (error: Error) => ({ id: request.id, error: error.message }),
    );
    port.postMessage(reply);
  });
});
