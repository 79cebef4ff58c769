import type { Fleet, FleetObservation } from '#adapters/fleet';
import type { FleetView } from '#domain/scaling';
import { inTime } from './in-time.js';
import type { ScaledPool } from './scaled-pool.js';

/** Something outside that decisions need did not answer, and why. */
export interface MissingInput {
  /** `event-log`: up to when demand is counted; for every pool. */
  input: 'event-log' | 'fleet';
  pool?: string;
  error: Error;
}

/** The workers of a pool as decisions and operators see them. */
export class FleetViews {
  constructor(
    private readonly fleet: Fleet,
    readonly settingsOf: (pool: string) => ScaledPool,
    private readonly observer: { inputMissing(missing: MissingInput): void },
  ) {}

  /** Undefined: nobody here runs workers for the pool, or the fleet does not answer. */
  async of(pool: string): Promise<FleetView | undefined> {
    const observed = await this.observed(pool);
    return observed && viewOf(observed);
  }

  /** The same, with what decisions do not look at. */
  async observed(pool: string): Promise<FleetObservation | undefined> {
    if (!this.settingsOf(pool).hasFleet) return undefined;
    return inTime(this.fleet.observe(pool), {
      what: `fleet: the workers of pool ${pool}`,
      missing: (error) => this.observer.inputMissing({ input: 'fleet', pool, error }),
    });
  }
}

export function viewOf(observed: FleetObservation): FleetView {
  const { ready, starting, draining, desired, maxWorkers, slotsPerWorker, leadTimeS } = observed;
  return { ready, starting, draining, desired, maxWorkers, slotsPerWorker, leadTimeS };
}
