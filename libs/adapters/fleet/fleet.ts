/** The workers of the pools. Who is there, and how many there should be; not which one is chosen. */
export interface Fleet {
  /** Asks for a number of workers; returns when the order is taken, not when it is filled. Idempotent. */
  scale(order: { pool: string; desired: number }): Promise<void>;
  observe(pool: string): Promise<FleetObservation>;
  /**
   * Called with all members of a pool as soon as they are known, at once when they are, and then after every change.
   * A worker that shall leave is told so after the listeners were called and what they return has resolved, at the
   * latest after {@link TOLD_WITHIN_MS}.
   */
  watch(listener: MembershipListener): () => void;
  /** Takes no more orders. Who owns the workers drains and stops every one; who only orders them leaves them alone. */
  close(): Promise<void>;
}

export type MembershipListener = (membership: Membership) => void | Promise<void>;

/** A listener that is not done by then hears of a worker's end from its silence. */
export const TOLD_WITHIN_MS = 1_000;

/** An order that is a bug of the caller. Throws RangeError. */
export function checkOrder({ pool, desired }: { pool: string; desired: number }): void {
  if (!Number.isInteger(desired) || desired < 0)
    throw new RangeError(`fleet: desired workers of ${pool} must be an integer ≥ 0, got ${desired}`);
}

export class UnknownPool extends Error {
  override name = 'UnknownPool';

  constructor(pool: string, known: Iterable<string>) {
    super(`fleet: pool must be one of ${[...known].join(', ') || 'none'}, got ${pool}`);
  }
}

export class FleetClosed extends Error {
  override name = 'FleetClosed';

  constructor(pool: string) {
    super(`fleet: must be open to scale ${pool}, got closed`);
  }
}

export interface FleetObservation {
  ready: number;
  starting: number;
  draining: number;
  desired: number;
  /** Somebody has asked for a number since the fleet has started; otherwise `desired` is nobody's wish. */
  ordered: boolean;
  /** The most workers of a pool that this fleet runs; an order beyond it is cut to it. */
  maxWorkers: number;
  slotsPerWorker: number;
  /** A high quantile of measured starts, seconds; the configured expectation until one was measured. */
  leadTimeS: number;
  /** Workers that ended without being asked to, since the start. */
  crashes: number;
}

export interface Membership {
  pool: string;
  members: FleetMember[];
}

export interface FleetMember {
  workerId: string;
  /** http://127.0.0.1:port */
  url: string;
  slots: number;
  state: 'ready' | 'draining';
}

/** What happened to workers: counted and logged by whoever owns the fleet. */
export interface FleetObserver {
  started(worker: { pool: string; workerId: string }): void;
  /** `leadTimeS`: from its order to the moment it may be chosen. */
  ready(worker: { pool: string; workerId: string; leadTimeS: number }): void;
  /** Ended without being asked to, or never got ready; another one follows after `restartInMs`. */
  crashed(worker: { pool: string; workerId: string; reason: string; restartInMs: number }): void;
  /** Ended as asked; `killed`: it did not within its drain time. */
  stopped(worker: { pool: string; workerId: string; killed: boolean }): void;
  /** Execution events of a worker that will never arrive. */
  eventsDropped(drop: { pool: string; workerId: string; events: number; reason: string }): void;
}
