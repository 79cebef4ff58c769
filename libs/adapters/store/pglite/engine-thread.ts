// The thread in which the embedded PostgreSQL lives: WASM is synchronous while it works, and must not stop the
// data path. Requests are answered in order.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite, type Results } from '@electric-sql/pglite';
import { DURABLE_START_PARAMS, DurableNodeFS } from './durable-node-fs.js';
import { copyDatabase, removeCopies } from './database-copy.js';
import { DISK_FULL, freeBytesIn, neededBytes, spaceProblem } from './free-space.js';
import { lockDataDirectory, type DataDirectoryLock } from './data-directory-lock.js';
import { makeDatabase } from './make-database.js';
import type {
  CompiledEngine,
  EngineError,
  EngineGreeting,
  EngineReply,
  EngineRequest,
  EngineStart,
  QueryResult,
  Statement,
} from './engine-messages.js';

/** Neither TypeScript nor Node.js declares it for a program that has no DOM. */
declare const WebAssembly: { compile(bytes: Uint8Array): Promise<CompiledEngine> };

const { dataDir, compiled: given } = workerData as EngineStart;
const pgdata = join(dataDir, 'postgres');
const port = parentPort as NonNullable<typeof parentPort>;

interface Opened {
  db: PGlite;
  fs: DurableNodeFS;
  lock: DataDirectoryLock;
  compiled: CompiledEngine;
}

async function open(): Promise<Opened | EngineGreeting> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const lock = lockDataDirectory(dataDir);
  if (lock === 'in-use') return { kind: 'in-use' };
  const full = spaceProblem(freeBytesIn(dataDir));
  if (full !== undefined) return { kind: 'full', message: full.message };
  removeCopies(dataDir);
  await makeDatabase(pgdata);
  const fs = new DurableNodeFS(pgdata);
  const compiled = given ?? (await compile());
  const db = await PGlite.create({ fs, startParams: DURABLE_START_PARAMS, pgliteWasmModule: compiled });
  return { db, fs, lock, compiled };
}

function compile(): Promise<CompiledEngine> {
  return WebAssembly.compile(
    readFileSync(new URL('./pglite.wasm', import.meta.resolve('@electric-sql/pglite'))),
  );
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

const opened = await open().catch((error: Error & { code?: string }): EngineGreeting => ({
  kind: error.code === DISK_FULL ? 'full' : 'failed',
  message: error.message,
}));
if ('kind' in opened) {
  port.postMessage(opened);
} else {
  const { db, fs, lock, compiled } = opened;
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
  port.postMessage({ kind: 'ready', compiled } satisfies EngineGreeting);
}
