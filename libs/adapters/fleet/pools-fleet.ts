import type { Fleet, FleetObservation, Membership } from './fleet.js';
import type { WorkerPool } from './worker-pool.js';

/** A fleet made of {@link WorkerPool}s: finds the pool, tells the watchers, closes all. */
export class PoolsFleet implements Fleet {
  private readonly listeners = new Set<(membership: Membership) => void>();
  private readonly pools: Map<string, WorkerPool>;
  private closing: Promise<void> | undefined;

  constructor(build: (onMembership: (membership: Membership) => void) => Map<string, WorkerPool>) {
    this.pools = build((membership) => {
      for (const listener of this.listeners) listener(membership);
    });
  }

  /** Rejects for an unknown pool, a number that is none, or after close(): each is a bug of the caller. */
  async scale({ pool, desired }: { pool: string; desired: number }): Promise<void> {
    if (this.closing !== undefined) throw new Error(`fleet: must be open to scale ${pool}, got closed`);
    this.poolOf(pool).scale(desired);
  }

  async observe(pool: string): Promise<FleetObservation> {
    return this.poolOf(pool).observe();
  }

  watch(listener: (membership: Membership) => void): () => void {
    this.listeners.add(listener);
    for (const pool of this.pools.values()) listener(pool.membership());
    return () => void this.listeners.delete(listener);
  }

  close(): Promise<void> {
    this.closing ??= Promise.all([...this.pools.values()].map((pool) => pool.close())).then(() => undefined);
    return this.closing;
  }

  private poolOf(name: string): WorkerPool {
    const pool = this.pools.get(name);
    if (pool === undefined) {
      throw new Error(`fleet: pool must be one of ${[...this.pools.keys()].join(', ')}, got ${name}`);
    }
    return pool;
  }
}
