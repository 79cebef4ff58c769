/** The engine's WebAssembly.Module. Making it takes most of an opening, and the threads of a process can share it. */
export type CompiledEngine = object;

/** What a thread of the engine begins with. */
export interface EngineStart {
  dataDir: string;
  /** Absent: it compiles the engine itself. */
  compiled?: CompiledEngine | undefined;
}

/** What the main thread asks of the engine's thread, and what comes back. */
export interface Statement {
  sql: string;
  params?: unknown[];
}

export type EngineRequest =
  | { id: number; kind: 'query'; statement: Statement }
  /** All statements in one transaction of the engine, without a round trip between them. */
  | { id: number; kind: 'atomic'; statements: Statement[] }
  /** The files, as they are between two statements. */
  | { id: number; kind: 'copy'; to: string }
  | { id: number; kind: 'syncs' }
  | { id: number; kind: 'close' };

export interface QueryResult {
  rows: Record<string, unknown>[];
  rowCount: number;
  command: string;
}

/** A server error with the fields that callers look at (`code` is the SQLSTATE). */
export interface EngineError {
  message: string;
  code?: string;
  detail?: string;
  constraint?: string;
  table?: string;
}

export type EngineReply =
  { id: number; ok: true; results: QueryResult[] } | { id: number; ok: false; error: EngineError };

/** The first message of the thread: it is open, in use by another process, without room, or could not be opened. */
export type EngineGreeting =
  | { kind: 'ready'; compiled: CompiledEngine }
  | { kind: 'in-use' }
  | { kind: 'full' | 'failed'; message: string };
