/** The workers of the pools. Who is there, and how many there should be; not which one is chosen. */
export interface Fleet {
  /** Asks for a number of workers; returns when the order is taken, not when it is filled. Idempotent. */
  scale(order: { pool: string; desired: number }): Promise<void>;
  observe(pool: string): Promise<FleetObservation>;
  /** Called with all members of a pool at once, and then after every change, before a draining worker is stopped. */
  watch(listener: (membership: Membership) => void): () => void;
  /** Drains and stops every worker. */
  close(): Promise<void>;
}

export interface FleetObservation {
  ready: number;
  starting: number;
  draining: number;
  desired: number;
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
