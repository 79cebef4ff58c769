import { EventEmitter } from 'node:events';
import type { EmbeddedPostgres, Lease } from './embedded-postgres.js';
import type { QueryResult } from './engine-messages.js';

type ConnectCallback = (error: Error | undefined, client?: LeasedClient, release?: () => void) => void;

/** A checked-out session with the part of the `pg` client's surface that TypeORM uses. */
class LeasedClient extends EventEmitter {
  constructor(private readonly lease: Lease) {
    super();
  }

  query(sql: string, params?: unknown[]): Promise<QueryResult> {
    return this.lease.query({ sql, ...(params && { params }) });
  }
}

/**
 * The `driver` option of TypeORM's postgres data source, over the embedded engine. Every connection is a lease of
 * the engine's one session, so transactions are isolated from each other.
 */
export function pgDriverOver(
  engine: EmbeddedPostgres,
  lease: { leaseTimeoutMs?: number } = {},
): { Pool: unknown; Client: unknown } {
  class LeasedPool extends EventEmitter {
    connect(callback: ConnectCallback): void {
      engine.lease(lease).then(
        (leased) => callback(undefined, new LeasedClient(leased), () => leased.release()),
        (error: Error) => callback(error),
      );
    }

    /** The engine outlives the data source: whoever opened it closes it. */
    end(callback: (error?: Error) => void): void {
      callback();
    }
  }
  return { Pool: LeasedPool, Client: LeasedClient };
}
