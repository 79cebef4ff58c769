import { Pool } from 'undici';
import type { FleetMember } from '#adapters/fleet';
import type { QueueWorker } from '#domain/routing';

/** A worker on this side of a network that takes longer to connect to is as good as not there, ms. */
const CONNECT_TIMEOUT_MS = 1000;

/** A worker and the connections to it. One request a connection at a time; the queue knows no more than the slots. */
export class RouterWorker implements QueueWorker {
  readonly workerId: string;
  readonly slots: number;
  inFlight = 0;
  readonly connections: Pool;
  private readonly url: string;
  private isClosed = false;

  constructor({ workerId, slots, url }: FleetMember) {
    this.workerId = workerId;
    this.slots = slots;
    this.url = url;
    this.connections = new Pool(url, {
      // One more than slots: a connection is not free yet when its answer's last byte frees the slot.
      connections: slots + 1,
      pipelining: 1,
      connectTimeout: CONNECT_TIMEOUT_MS,
      // The request's own deadline ends what hangs.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** False: the same name, but another process or size, or one that is back after it had been let go. */
  is({ workerId, slots, url, state }: FleetMember): boolean {
    if (this.isClosed && state === 'ready') return false;
    return this.workerId === workerId && this.slots === slots && this.url === url;
  }

  /** Gets no more; closes what idles. Requests that it has go on to their end, which their deadlines bound. */
  async close(): Promise<void> {
    this.isClosed = true;
    // Rejects only when it was closed before: then there is nothing left to wait for.
    await this.connections.close().catch(() => undefined);
  }
}
