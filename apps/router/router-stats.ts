import { addToSketch, emptySketch, mergeInto, sketchQuantile, type Sketch } from '#domain/demand';
import type { RequestEnd, RouterObserver } from './router-observer.js';

/** One second of one pool. */
interface Second {
  /** Epoch seconds. */
  atS: number;
  arrivals: number;
  ends: number;
  failures: number;
  responseMs: Sketch;
}

export interface RecentRequests {
  arrivals: number;
  ends: number;
  /** Ends without a worker's answer. */
  failures: number;
  /** 95 % of the worker's answers were faster, ms ± 1 %; undefined without one. */
  responseMsP95: number | undefined;
}

/** What the router did in the last seconds, for people to look at: bounded, exact to a second. Not a metric. */
export class RouterStats implements RouterObserver {
  private readonly pools = new Map<string, Second[]>();

  constructor(
    private readonly nowMs: () => number,
    private readonly windowS = 10,
  ) {}

  arrived(pool: string): void {
    this.now(pool).arrivals++;
  }

  requestEnded({ pool, outcome, responseMs }: RequestEnd): void {
    const second = this.now(pool);
    second.ends++;
    if (outcome === 'answered') addToSketch(second.responseMs, responseMs);
    else second.failures++;
  }

  retried(): void {}

  unroutable(): void {}

  listenerFailed(): void {}

  /** The last `windowS` seconds, the current one included. */
  recent(pool: string): RecentRequests {
    const sinceS = this.nowS() - this.windowS;
    const all = emptySketch();
    const sum = { arrivals: 0, ends: 0, failures: 0 };
    for (const second of this.pools.get(pool) ?? []) {
      if (second.atS <= sinceS) continue;
      sum.arrivals += second.arrivals;
      sum.ends += second.ends;
      sum.failures += second.failures;
      mergeInto(all, second.responseMs);
    }
    return { ...sum, responseMsP95: sketchQuantile(all, 0.95) };
  }

  private nowS(): number {
    return Math.floor(this.nowMs() / 1000);
  }

  /** A ring of seconds: the one that is too old becomes the current one. */
  private now(pool: string): Second {
    const atS = this.nowS();
    const ring = this.pools.get(pool) ?? [];
    if (ring.length === 0) this.pools.set(pool, ring);
    const index = atS % this.windowS;
    const second = ring[index];
    if (second?.atS === atS) return second;
    const fresh = { atS, arrivals: 0, ends: 0, failures: 0, responseMs: emptySketch() };
    return (ring[index] = fresh);
  }
}
