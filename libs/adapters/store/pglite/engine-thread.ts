// The thread in which the embedded PostgreSQL lives: WASM is synchronous while it works, and must not stop the
// data path. Requests are answered in order.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite, type Results } from '@electric-sql/pglite';
import { DURABLE_START_PARAMS, DurableNodeFS } from './durable-node-fs.js';
import { copyDatabase, removeCopies } from './database-copy.js';
import { freeBytesIn, neededBytes, spaceProblem } from './free-space.js';
import { lockDataDirectory, type DataDirectoryLock } from './data-directory-lock.js';
import { makeDatabase } from './make-database.js';
import type {
  EngineError,
  EngineGreeting,
  EngineReply,
  EngineRequest,
  QueryResult,
  Statement,
} from './engine-messages.js';

const { dataDir } = workerData as { dataDir: string };
const pgdata = join(dataDir, 'postgres');
const port = parentPort as NonNullable<typeof parentPort>;

async function open(): Promise<{ db: PGlite; fs: DurableNodeFS; lock: DataDirectoryLock } | EngineGreeting> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const lock = lockDataDirectory(dataDir);
  if (lock === 'in-use') return { kind: 'in-use' };
  const full = spaceProblem(freeBytesIn(dataDir));
  if (full !== undefined) return { kind: 'full', message: full.message };
  removeCopies(dataDir);
  await makeDatabase(pgdata);
  const fs = new DurableNodeFS(pgdata);
  const db = await PGlite.create({ fs, startParams: DURABLE_START_PARAMS });
  return { db, fs, lock };
}

function toResult(result: Results): QueryResult {
  const command = result.command ?? '';
  const changes = command === 'INSERT' || command === 'UPDATE' || command === 'DELETE';
  const rowCount = changes ? (result.affectedRows ?? 0) : result.rows.length;
  return { rows: result.rows as Record<string, unknown>[], rowCount, command };
}

function toError(thrown: unknown): EngineError {
  const error = thrown as Error & Partial<EngineError>;
  const { message, code, detail, constraint, table } = error;
  return {
    message,
    ...(code && { code }),
    ...(detail && { detail }),
    ...(constraint && { constraint }),
    ...(table && { table }),
  };
}

/** Simple protocol for statements without parameters: they may be several, as in migrations. */
async function run(target: Pick<PGlite, 'query' | 'exec'>, { sql, params }: Statement): Promise<QueryResult> {
  const full = spaceProblem(freeBytesIn(dataDir), neededBytes(sql));
  if (full !== undefined) throw Object.assign(new Error(full.message), full);
  if (params !== undefined && params.length > 0) return toResult(await target.query(sql, params));
  const results = await target.exec(sql);
  return toResult(results.at(-1) ?? { rows: [], fields: [] });
}

const opened = await open().catch((error: Error): EngineGreeting => ({
  kind: 'failed',
  message: error.message,
}));
if ('kind' in opened) {
  port.postMessage(opened);
} else {
  const { db, fs, lock } = opened;
  const answer = async (request: EngineRequest): Promise<QueryResult[]> => {
    switch (request.kind) {
      case 'query':
        return [await run(db, request.statement)];
      case 'atomic':
        return db.transaction(async (transaction) => {
          const results: QueryResult[] = [];
          for (const statement of request.statements) results.push(await run(transaction, statement));
          return results;
        });
      case 'copy':
        await run(db, { sql: 'checkpoint' });
        copyDatabase(pgdata, join(request.to, 'postgres'));
        return [];
      case 'syncs':
        return [{ rows: [{ syncs: fs.syncs }], rowCount: 1, command: '' }];
      case 'close':
        await db.close();
        lock.release();
        return [];
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  port.on('message', (request: EngineRequest) => {
    last = last.then(async () => {
      const reply: EngineReply = await answer(request).then(
        (results) => ({ id: request.id, ok: true, results }),
        (error: unknown) => ({ id: request.id, ok: false, error: toError(error) }),
      );
      port.postMessage(reply);
      if (request.kind === 'close') port.close();
    });
  });
  port.postMessage({ kind: 'ready' } satisfies EngineGreeting);
}
