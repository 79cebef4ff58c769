import { pickLeastInFlight, type WorkerLoad } from './least-in-flight.js';
import { WaitingLine, type Place } from './waiting-line.js';

/** A worker as its pool's queue sees it. Only the queue changes `inFlight`. */
export interface QueueWorker extends WorkerLoad {
  inFlight: number;
}

export interface Waiting<W> {
  /** Epoch ms; from then on nobody waits for it. */
  readonly deadlineAtMs: number;
  /** A worker that failed it before: taken again only when there is no other. */
  readonly avoid: W | undefined;
}

export type Admission<R> =
  { kind: 'waits'; place: Place<R> } | { kind: 'queue-full' } | { kind: 'no-worker' };

export interface Handout<R, W> {
  request: R;
  worker: W;
}

/**
 * The requests of one pool: one bounded line, and the slots of its ready workers. A request leaves the line only when
 * a slot is free (docs/decisions/0004): `inFlight ≤ slots` for every worker.
 *
 *   admit ──no ready worker, or no slot and the line full──▶ refused
 *     │ waits
 *     ▼
 *   in line ──withdraw (deadline, caller gone)──▶ gone
 *     │ next (first in line, slot free)  ▲ again (the worker could not be reached)
 *     ▼                                  │
 *   with a worker ───────────────────────┘
 *     │ release
 *     ▼
 *   slot free: call next again
 */
export class PoolQueue<R extends Waiting<W>, W extends QueueWorker> {
  private readonly line = new WaitingLine<R>();
  private ready: readonly W[] = [];
  private carried = 0;

  /** `limit`: requests that may wait; those with a worker do not count. 0 = never wait. */
  constructor(private readonly limit: number) {}

  get waiting(): number {
    return this.line.length;
  }

  /** With workers, those that drain included. */
  get inFlight(): number {
    return this.carried;
  }

  get workers(): readonly W[] {
    return this.ready;
  }

  /** The workers that may get requests from now on. Others keep what they have. */
  setReady(workers: readonly W[]): void {
    this.ready = workers;
  }

  /** One that finds a free slot passes through the line, even of limit 0. Call {@link next} after it. */
  admit(request: R): Admission<R> {
    if (this.ready.length === 0) return { kind: 'no-worker' };
    if (this.line.length >= this.limit && !this.passes()) return { kind: 'queue-full' };
    return { kind: 'waits', place: this.line.join(request) };
  }

  /**
   * A request that was handed out in vain waits again, as the first. It must have been released. Not refused when the
   * line is full: it was admitted, and there are never more of these than slots.
   */
  again(request: R): Place<R> {
    return this.line.rejoinFirst(request);
  }

  /** Leaves the line; nothing happens when it has left already. */
  withdraw(place: Place<R>): void {
    this.line.leave(place);
  }

  /**
   * Hands the first request in line to a worker with a free slot. Undefined: none waits, or no slot is free. One whose
   * deadline has passed is not handed out: `expired` learns of it. `random` in [0, 1).
   */
  next(now: { nowMs: number; random: number; expired: (request: R) => void }): Handout<R, W> | undefined {
    for (let request = this.line.first; request !== undefined; request = this.line.first) {
      if (request.deadlineAtMs <= now.nowMs) {
        this.line.dropFirst();
        now.expired(request);
        continue;
      }
      const worker = pickLeastInFlight(this.ready, now.random, this.avoided(request));
      if (worker === undefined) return undefined;
      this.line.dropFirst();
      worker.inFlight++;
      this.carried++;
      return { request, worker };
    }
    return undefined;
  }

  /** A worker is done with a request, well or badly. Once per handout. Call {@link next} after it. */
  release(worker: W): void {
    worker.inFlight--;
    this.carried--;
  }

  private passes(): boolean {
    return this.line.length === 0 && this.ready.some((worker) => worker.inFlight < worker.slots);
  }

  private avoided({ avoid }: R): W | undefined {
    return this.ready.some((worker) => worker !== avoid) ? avoid : undefined;
  }
}
