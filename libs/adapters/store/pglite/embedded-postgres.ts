import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
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

/** Somebody who checked out the one session and never gives it back would stop everything. */
const LEASE_TIMEOUT_MS = 10_000;
/** A request the engine does not answer within this time is a broken engine. */
const REQUEST_DEADLINE_MS = 60_000;

/** Making a database, or bringing one back to what its log says after a crash, is what an opening may have to do. */
const OPENING_DEADLINE_MS = 180_000;

/** By the first thread; those after it, as that of a backup's copy, need not compile it again. */
let compiled: CompiledEngine | undefined;

/** Another process uses the data directory. */
export class DataDirectoryInUse extends Error {
  override name = 'DataDirectoryInUse';
}

/** There is too little free space in the data directory to open it ({@link MIN_FREE_BYTES}). */
export class DataDirectoryFull extends Error {
  override name = 'DataDirectoryFull';
}

/** An error of the engine with its SQLSTATE in `code`, as the `pg` driver reports it. */
export class EngineFailure extends Error {
  override name = 'EngineFailure';
  readonly code: string | undefined;
  readonly detail: string | undefined;
  readonly constraint: string | undefined;
  readonly table: string | undefined;

  constructor(error: EngineError) {
    super(error.message);
    this.code = error.code;
    this.detail = error.detail;
    this.constraint = error.constraint;
    this.table = error.table;
  }
}

/** Exclusive use of the engine's only session, for a transaction of several statements. */
export interface Lease {
  query(statement: Statement): Promise<QueryResult>;
  release(): void;
}

/**
 * PostgreSQL (PGlite) in a thread of its own. It has one session: callers queue for it, and whoever leases it for a
 * transaction is alone until the release, so that a rollback can never take another caller's write with it.
 */
export class EmbeddedPostgres {
  private readonly pending = new Map<
    number,
    { resolve: (results: QueryResult[]) => void; reject: (error: Error) => void }
  >();
  private nextId = 1;
  private tail: Promise<unknown> = Promise.resolve();
  private dead: Error | undefined;
  private closing: Promise<void> | undefined;
  private readonly death = Promise.withResolvers<Error>();

  private constructor(
    private readonly thread: Worker,
    private readonly requestDeadlineMs: number,
  ) {
    thread.on('message', (reply: EngineReply) => this.settle(reply));
    thread.on('error', (error) => this.fail(error as Error));
    thread.on('exit', () => this.fail(new Error('embedded store: its thread has ended')));
  }

  /** Opens (and on first use creates) the database in dataDir. Throws {@link DataDirectoryInUse}, {@link DataDirectoryFull}. */
  static async open(options: {
    dataDir: string;
    requestDeadlineMs?: number;
    openingDeadlineMs?: number;
  }): Promise<EmbeddedPostgres> {
    const { dataDir, requestDeadlineMs = REQUEST_DEADLINE_MS } = options;
    const start: EngineStart = { dataDir, compiled };
    const thread = new Worker(new URL('./engine-thread.js', import.meta.url), { workerData: start });
    const greeting = await greetingOf(thread, options.openingDeadlineMs ?? OPENING_DEADLINE_MS);
    if (greeting.kind === 'ready') {
      ({ compiled } = greeting);
      return new EmbeddedPostgres(thread, requestDeadlineMs);
    }
    await thread.terminate();
    if (greeting.kind === 'in-use') {
      throw new DataDirectoryInUse(
        `data directory: used by one process at a time, ${dataDir} is in use (stop the other process, or set HEADROOM_DATA_DIR)`,
      );
    }
    if (greeting.kind === 'full') throw new DataDirectoryFull(`${greeting.message} in ${dataDir}`);
    throw new Error(`data directory ${dataDir}: must be openable, got: ${greeting.message}`);
  }

  /** One statement in its own transaction. */
  async query(sql: string, params?: unknown[]): Promise<QueryResult> {
    const [result] = await this.exclusive(() =>
      this.request({ kind: 'query', statement: { sql, ...(params && { params }) } }),
    );
    return result as QueryResult;
  }

  /** All statements in one transaction; rejects, with nothing changed, when one of them fails. */
  atomic(statements: Statement[]): Promise<QueryResult[]> {
    return this.exclusive(() => this.request({ kind: 'atomic', statements }));
  }

  /** Waits for the session; the lease ends by itself (and rejects its next query) after leaseTimeoutMs. */
  async lease({ leaseTimeoutMs = LEASE_TIMEOUT_MS }: { leaseTimeoutMs?: number } = {}): Promise<Lease> {
    const turn = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    void this.exclusive(() => {
      turn.resolve();
      return over.promise;
    });
    await turn.promise;
    let ended: string | undefined;
    const timeout = setTimeout(() => {
      ended = `not released within ${leaseTimeoutMs} ms (a query outside the transaction's own manager waits for itself)`;
      void this.request({ kind: 'query', statement: { sql: 'rollback' } }).then(
        () => over.resolve(),
        () => over.resolve(),
      );
    }, leaseTimeoutMs);
    return {
      query: async (statement) => {
        if (ended !== undefined) throw new Error(`embedded store lease: ${ended}`);
        const [result] = await this.request({ kind: 'query', statement });
        return result as QueryResult;
      },
      release: () => {
        clearTimeout(timeout);
        ended = 'released already';
        over.resolve();
      },
    };
  }

  /** Copies the database, as it is between two statements, into a data directory of its own. Others wait meanwhile. */
  async copyTo(dataDir: string): Promise<void> {
    await this.exclusive(() => this.request({ kind: 'copy', to: dataDir }));
  }

  /** How many times file contents were forced to disk since the start; a test watches it. */
  async syncCount(): Promise<number> {
    const [result] = await this.request({ kind: 'syncs' });
    return Number(result?.rows[0]?.['syncs']);
  }

  /** Resolves with the reason when the engine ends unasked: nothing can be read or written from then on. */
  get died(): Promise<Error> {
    return this.death.promise;
  }

  /** Ends the engine's thread, in whatever state it is: a thread that goes on keeps the process from ending. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    try {
      if (this.dead === undefined) await this.exclusive(() => this.request({ kind: 'close' }));
    } finally {
      await this.thread.terminate();
    }
  }

  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.tail.then(work);
    this.tail = turn.catch(() => undefined);
    return turn;
  }

  private request(
    body: EngineRequest extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never,
  ): Promise<QueryResult[]> {
    if (this.dead !== undefined) return Promise.reject(this.dead);
    const id = this.nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<QueryResult[]>();
    const deadline = setTimeout(
      () => this.fail(new Error(`embedded store: must answer within ${this.requestDeadlineMs} ms, did not`)),
      this.requestDeadlineMs,
    );
    this.pending.set(id, {
      resolve: (results) => (clearTimeout(deadline), resolve(results)),
      reject: (error) => (clearTimeout(deadline), reject(error)),
    });
    this.thread.postMessage({ id, ...body } as EngineRequest);
    return promise;
  }

  private settle(reply: EngineReply): void {
    const waiting = this.pending.get(reply.id);
    this.pending.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.results);
    else waiting?.reject(new EngineFailure(reply.error));
  }

  private fail(error: Error): void {
    if (this.dead !== undefined) return;
    this.dead = error;
    for (const waiting of this.pending.values()) waiting.reject(error);
    this.pending.clear();
    if (this.closing === undefined) this.death.resolve(error);
    // One that does not answer must not write behind the back of those who were told that it did not.
    void this.thread.terminate();
  }
}

/** A thread may end without a word, e.g. when the engine gives up on what it finds in the data directory; or hang. */
async function greetingOf(thread: Worker, deadlineMs: number): Promise<EngineGreeting> {
  const ended = Promise.withResolvers<never>();
  const onExit = (code: number) =>
    ended.reject(new Error(`embedded store: its thread must say that it is ready, got exit code ${code}`));
  thread.once('exit', onExit);
  const deadline = setTimeout(() => {
    ended.reject(new Error(`embedded store: its thread must be ready within ${deadlineMs} ms, was not`));
    void thread.terminate();
  }, deadlineMs);
  try {
    const [greeting] = (await Promise.race([once(thread, 'message'), ended.promise])) as [EngineGreeting];
    return greeting;
  } finally {
    clearTimeout(deadline);
    thread.off('exit', onExit);
  }
}
