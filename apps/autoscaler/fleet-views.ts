import type { Fleet, FleetObservation } from '#adapters/fleet';
import type { FleetView } from '#domain/scaling';
import { inTime } from './in-time.js';
import type { ScaledPool } from './scaled-pool.js';

/** The workers of a pool as decisions and operators see them. */
export class FleetViews {
  constructor(
    private readonly fleet: Fleet,
    readonly settingsOf: (pool: string) => ScaledPool,
  ) {}

  /** Undefined: nobody here runs workers for the pool, or the fleet does not answer. */
  async of(pool: string): Promise<FleetView | undefined> {
    const observed = await this.observed(pool);
    return observed && viewOf(observed);
  }

  /** The same, with what decisions do not look at. */
  async observed(pool: string): Promise<FleetObservation | undefined> {
    return this.settingsOf(pool).hasFleet ? inTime(this.fleet.observe(pool)) : undefined;
  }
}

export function viewOf(observed: FleetObservation): FleetView {
  const { ready, starting, draining, desired, slotsPerWorker, leadTimeS } = observed;
  return { ready, starting, draining, desired, slotsPerWorker, leadTimeS };
}
