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

/**
 * Requests at the front that may be passed over because the only free slots are at the worker each avoids. Behind more
 * of them, which takes as many failed connections at once, the others wait.
 */
export const MAX_PASSED_OVER = 16;

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
 *     │ next (first who may have a free slot)  ▲ again (the worker could not be reached)
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
   * Hands the first request in line that a free slot suits to the worker that has it: one at the front that avoids this
   * worker keeps its place and is passed over. Undefined: none waits, or none can be placed. One whose deadline has
   * passed is not handed out: `expired` learns of it. `random` in [0, 1).
   */
  next(now: { nowMs: number; random: number; expired: (request: R) => void }): Handout<R, W> | undefined {
    let passedOver = 0;
    for (let place = this.line.first; place !== undefined; place = place.behind) {
      const request = place.item;
      if (request.deadlineAtMs <= now.nowMs) {
        this.line.leave(place);
        now.expired(request);
        continue;
      }
      const avoid = this.avoided(request);
      const worker = pickLeastInFlight(this.ready, now.random, avoid);
      if (worker !== undefined) return this.handOut(place, worker);
      if (avoid === undefined || ++passedOver > MAX_PASSED_OVER) return undefined;
    }
    return undefined;
  }

  /** A worker is done with a request, well or badly. Once per handout. Call {@link next} after it. */
  release(worker: W): void {
    worker.inFlight--;
    this.carried--;
  }

  private handOut(place: Place<R>, worker: W): Handout<R, W> {
    this.line.leave(place);
    worker.inFlight++;
    this.carried++;
    return { request: place.item, worker };
  }

  private passes(): boolean {
    return this.line.length === 0 && this.ready.some((worker) => worker.inFlight < worker.slots);
  }

  private avoided({ avoid }: R): W | undefined {
    return this.ready.some((worker) => worker !== avoid) ? avoid : undefined;
  }
}
