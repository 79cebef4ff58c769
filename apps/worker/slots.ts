/** A place in a worker: a slot, or a place in the queue for one. */
export interface Ticket {
  /** Resolves when the ticket has a slot; never after `leave`. */
  turn: Promise<void>;
  /** Gives the slot or the place back. Any number of times. */
  leave(): void;
}

interface Waiting {
  begin: () => void;
}

/** So many executions at once, so many waiting, first in first out. */
export class Slots {
  private readonly queue: Waiting[] = [];
  private taken = 0;

  /** @param bounds `slots` ≥ 1 run at once, `queueLimit` ≥ 0 wait. */
  constructor(private readonly bounds: { slots: number; queueLimit: number }) {}

  /** Nothing when slots and queue are full. */
  enter(): Ticket | undefined {
    const { promise, resolve } = Promise.withResolvers<void>();
    const place: Waiting = { begin: resolve };
    if (this.taken < this.bounds.slots) {
      this.taken += 1;
      resolve();
    } else if (this.queue.length < this.bounds.queueLimit) {
      this.queue.push(place);
    } else {
      return undefined;
    }
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      this.vacate(place);
    };
    return { turn: promise, leave };
  }

  /** Running and waiting. */
  get occupied(): number {
    return this.taken + this.queue.length;
  }

  private vacate(place: Waiting): void {
    const index = this.queue.indexOf(place);
    if (index !== -1) {
      this.queue.splice(index, 1);
      return;
    }
    const next = this.queue.shift();
    // The slot passes from hand to hand, so that nobody who comes just now can take it from the longest waiting.
    if (next === undefined) this.taken -= 1;
    else next.begin();
  }
}
