import {
  FleetClosed,
  UnknownPool,
  type Fleet,
  type FleetObservation,
  type Membership,
  type MembershipListener,
} from './fleet.js';
import type { WorkerPool } from './worker-pool.js';

/** A fleet made of {@link WorkerPool}s: finds the pool, tells the watchers, closes all. */
export class PoolsFleet implements Fleet {
  private readonly listeners = new Set<MembershipListener>();
  private readonly pools: Map<string, WorkerPool>;
  private closing: Promise<void> | undefined;

  constructor(build: (onMembership: MembershipListener) => Map<string, WorkerPool>) {
    this.pools = build((membership) => this.tell(membership));
  }

  /** Rejects for an unknown pool, a number that is none, or after close(): each is a bug of the caller. */
  async scale({ pool, desired }: { pool: string; desired: number }): Promise<void> {
    if (this.closing !== undefined) throw new FleetClosed(pool);
    this.poolOf(pool).scale(desired);
  }

  async observe(pool: string): Promise<FleetObservation> {
    return this.poolOf(pool).observe();
  }

  watch(listener: MembershipListener): () => void {
    this.listeners.add(listener);
    for (const pool of this.pools.values()) void listener(pool.membership());
    return () => void this.listeners.delete(listener);
  }

  close(): Promise<void> {
    this.closing ??= Promise.all([...this.pools.values()].map((pool) => pool.close())).then(() => undefined);
    return this.closing;
  }

  private poolOf(name: string): WorkerPool {
    const pool = this.pools.get(name);
    if (pool === undefined) throw new UnknownPool(name, this.pools.keys());
    return pool;
  }

  /** Undefined: nobody needs time for it. */
  private tell(membership: Membership): Promise<void> | undefined {
    const told = [...this.listeners].flatMap((listener) => listener(membership) ?? []);
    return told.length === 0 ? undefined : Promise.allSettled(told).then(() => undefined);
  }
}
