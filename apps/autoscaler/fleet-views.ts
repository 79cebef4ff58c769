import type { Fleet } from '#adapters/fleet';
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
    if (!this.settingsOf(pool).hasFleet) return undefined;
    const observed = await inTime(this.fleet.observe(pool));
    if (observed === undefined) return undefined;
    const { crashes: _, ...view } = observed;
    return view;
  }
}
