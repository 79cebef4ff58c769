import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

interface Statement {
  sql: string;
  params?: unknown[];
}
export interface UnsyncedRequest {
  id: number;
  statements: Statement[];
  isAtomic: boolean;
}
export type UnsyncedReply = { id: number; rows: Record<string, unknown>[] } | { id: number; error: string };

/** The opponent under the same log: fast, and gone with the power. */
export class UnsyncedEngine {
  private readonly pending = new Map<number, (reply: UnsyncedReply) => void>();
  private nextId = 1;
  private readonly thread: Worker;

  constructor(given: { dataDir: string }) {
    this.thread = new Worker(new URL('./unsynced-engine.thread.js', import.meta.url), { workerData: given });
    this.thread.on('message', (reply: UnsyncedReply) => this.pending.get(reply.id)?.(reply));
  }

  query(sql: string, params?: unknown[]): Promise<{ rows: Record<string, unknown>[] }> {
    return this.request([{ sql, ...(params && { params }) }], false);
  }

  atomic(statements: Statement[]): Promise<{ rows: Record<string, unknown>[] }> {
    return this.request(statements, true);
  }

  async close(): Promise<void> {
    const ended = once(this.thread, 'exit');
    await this.thread.terminate();
    await ended;
  }

  private request(statements: Statement[], isAtomic: boolean): Promise<{ rows: Record<string, unknown>[] }> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, (reply) => {
        this.pending.delete(id);
        if ('rows' in reply) resolve(reply);
        else reject(new Error(reply.error));
      });
      this.thread.postMessage({ id, statements, isAtomic } satisfies UnsyncedRequest);
    });
  }
}
