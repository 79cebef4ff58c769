/**
 * How a request ended. `worker-refused`: answered by a worker that does not report the execution. `malformed`: HTTP that
 * a worker cannot be asked with. `too-large`: its body. All but `answered` are failed executions, and reported by the router.
 */
export type RouteOutcome =
  | 'answered'
  | 'worker-refused'
  | 'rejected'
  | 'deadline'
  | 'upstream'
  | 'client-gone'
  | 'malformed'
  | 'too-large';

/** Why a request is no execution. */
export type Misaddressed = 'unknown-pool' | 'malformed-pool' | 'reserved-path' | 'upgrade';
/** Why a connection brought no request: what came is no HTTP, its headers are too many or too slow, or it was one too many. */
export type Unreadable = 'malformed-request' | 'headers-too-large' | 'too-slow' | 'too-many-connections';
/** Why something that reached the port is no execution. */
export type Unroutable = Misaddressed | Unreadable;

export interface RequestEnd {
  pool: string;
  executionId: string;
  outcome: RouteOutcome;
  /** What the caller got; 0 when it got nothing or only a part. */
  status: number;
  /** From arrival to the end of the answer, ms. */
  responseMs: number;
  /** From arrival to the first worker, ms; undefined when no worker was asked. */
  waitMs: number | undefined;
}

/** Everything the router counts. Called on the data path: must be quick and must not throw. */
export interface RouterObserver {
  arrived(pool: string): void;
  requestEnded(end: RequestEnd): void;
  /** A worker could not be reached; the request goes to another one. */
  retried(pool: string): void;
  unroutable(reason: Unroutable): void;
  /** A connection could not be accepted, for want of file descriptors for instance. The router goes on. */
  listenerFailed(error: Error): void;
}

/** A pool at this moment. */
export interface RouteSnapshot {
  /** Requests in line. */
  waiting: number;
  /** Requests with a worker, draining workers included. */
  inFlight: number;
  readyWorkers: number;
  /** Slots of the ready workers. */
  slots: number;
}
