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
