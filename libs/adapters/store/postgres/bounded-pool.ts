import type { Socket } from 'node:net';
import { Client, DatabaseError, Pool, type ClientBase, type PoolClient, type PoolConfig } from 'pg';

/** SQLSTATE `connection_exception`, which callers look at as they look at the server's own codes. */
const CONNECTION_FAILED = '08000';

/** The server cannot be reached, or the connection to it has ended; what was under way may or may not have happened. */
export class ConnectionFailed extends Error {
  override name = 'ConnectionFailed';
  readonly code = CONNECTION_FAILED;
}

interface BoundedConfig extends PoolConfig {
  /** Longest wait for an answer, ms: a server that is cut off ends no statement of its own accord. */
  answerTimeoutMs: number;
}

/** A connection that is given up when an answer does not come: another query on it would wait as well. */
class BoundedClient extends Client {
  private readonly answerTimeoutMs: number;

  constructor(config: BoundedConfig) {
    super(config);
    this.answerTimeoutMs = config.answerTimeoutMs;
  }

  // The driver's own signature has ten overloads, of which TypeORM uses one.
  override query(...given: never[]): never {
    const answer = (super.query as (...all: never[]) => unknown).apply(this, given);
    return (answer instanceof Promise ? this.inTime(answer) : answer) as never;
  }

  private async inTime(answer: Promise<unknown>): Promise<unknown> {
    const { answerTimeoutMs } = this;
    const { stream } = (this as unknown as { connection: { stream: Socket } }).connection;
    const late = setTimeout(
      () => stream.destroy(new Error(`must answer within ${answerTimeoutMs} ms, did not`)),
      answerTimeoutMs,
    );
    try {
      return await answer;
    } catch (error) {
      throw failureOf(error);
    } finally {
      clearTimeout(late);
    }
  }
}

type Connected = (
  error: Error | undefined,
  client: PoolClient | undefined,
  release: (error?: unknown) => void,
) => void;

/** The pool of TypeORM's `driver` option: every wait has an end, and every failure of a connection the same code. */
class BoundedPool extends Pool {
  constructor(config: BoundedConfig) {
    super({ ...config, Client: BoundedClient as unknown as new () => ClientBase });
  }

  override connect(callback?: Connected): never {
    const connect = super.connect as (callback: Connected) => void;
    connect.call(this, (error, client, release) =>
      callback?.(error === undefined ? undefined : failureOf(error), client, release),
    );
    return undefined as never;
  }
}

/** The `driver` option of TypeORM's postgres data source. */
export const BOUNDED_DRIVER = { Pool: BoundedPool, Client: BoundedClient };

/** What the server says of itself stays; anything else is a connection that does not work. */
function failureOf(error: unknown): Error {
  if (error instanceof DatabaseError) return error;
  // One that was refused at several addresses has a code only.
  const { message, code = 'another error' } = error as NodeJS.ErrnoException;
  return new ConnectionFailed(message || code, { cause: error });
}
