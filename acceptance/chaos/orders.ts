import type { Decision } from '#domain/scaling';
import type { ApiClient } from '../api-client.js';

const PERIOD_MS = 50;

/** A number of workers that the fleet was seen to be asked for. */
export interface Order {
  pool: string;
  desired: number;
  /** Nobody saw it change: it is the first, or the fleet was away before. */
  unseen: boolean;
}

/** Looks all the time at what the fleet is asked for; decisions are made every half second. */
export class OrderWatch {
  readonly orders: Order[] = [];
  private readonly known = new Map<string, number>();
  private stopped = false;
  private readonly watching: Promise<void>;

  constructor(private readonly api: ApiClient) {
    this.watching = this.watch();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.watching;
  }

  private async watch(): Promise<void> {
    while (!this.stopped) {
      const items = await this.look();
      // Its workers and what they were asked for died with it.
      if (items === undefined) this.known.clear();
      for (const { pool, desired, ordered } of items ?? []) {
        const before = this.known.get(pool);
        if (!ordered || before === desired) continue;
        this.known.set(pool, desired);
        this.orders.push({ pool, desired, unseen: before === undefined });
      }
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    }
  }

  private async look() {
    try {
      const { status, body } = await this.api.get<{ items: Observed[] }>('/v1/fleet/pools');
      return status === 200 ? body.items : undefined;
    } catch {
      return undefined;
    }
  }
}

interface Observed {
  pool: string;
  desired: number;
  ordered: boolean;
}

type Recorded = Pick<Decision, 'kind' | 'pool' | 'desired' | 'previousDesired'>;

/**
 * Orders that nobody has decided: each change that was seen must have a recorded decision of its own that makes it, in
 * the same order. A number that a fleet was brought to after its start must be one that was recorded.
 */
export function ordersWithoutRecord(orders: readonly Order[], recorded: readonly Recorded[]): Order[] {
  const places = new Map<string, number>();
  return orders.filter(({ pool, desired, unseen }) => {
    const from = places.get(pool) ?? 0;
    const own = recorded.findIndex((decision, i) => {
      if (i < from || decision.pool !== pool) return false;
      if (unseen) return decision.desired === desired || decision.previousDesired === desired;
      return decision.kind === 'scale' && decision.desired === desired;
    });
    // What brought a fleet to its number is free to be what is ordered next.
    if (own !== -1) places.set(pool, unseen ? own : own + 1);
    return own === -1;
  });
}
