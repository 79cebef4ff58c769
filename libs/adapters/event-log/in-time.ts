/** The work's outcome, when it comes within the time; otherwise rejects with `late()`, and the work itself goes on. */
export function inTime<T>(work: Promise<T>, withinMs: number, late: () => Error): Promise<T> {
  return new Patience(withinMs).wait(work, late);
}

/** A time that begins anew with each piece of work that is done: what gets on may take as long as it needs. */
export class Patience {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly withinMs: number) {}

  renew(): void {
    this.timer?.refresh();
  }

  /** The work's outcome; rejects with `late()` when nothing renewed the time, and the work itself goes on. */
  async wait<T>(work: Promise<T>, late: () => Error): Promise<T> {
    const expired = Promise.withResolvers<never>();
    const timer = setTimeout(() => expired.reject(late()), this.withinMs);
    this.timer = timer;
    try {
      return await Promise.race([work, expired.promise]);
    } finally {
      clearTimeout(timer);
      this.timer = undefined;
    }
  }
}
