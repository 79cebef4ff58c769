import type { FleetTime } from '../fleet-time.js';

interface Timer {
  atMs: number;
  run: () => void;
}

/** A clock that moves when it is told to. Timers run in the order of their times, those of one time as they were set. */
export class ManualTime implements FleetTime {
  private readonly timers = new Set<Timer>();
  private currentMs = 0;

  nowMs(): number {
    return this.currentMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.currentMs + Math.max(0, delayMs), run };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }

  /** Runs everything that is due until then, with the clock at the time of each. */
  advance(ms: number): void {
    const endMs = this.currentMs + ms;
    for (let next = this.nextBy(endMs); next !== undefined; next = this.nextBy(endMs)) {
      this.currentMs = next.atMs;
      this.timers.delete(next);
      next.run();
    }
    this.currentMs = endMs;
  }

  private nextBy(endMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.timers) {
      if (timer.atMs <= endMs && (next === undefined || timer.atMs < next.atMs)) next = timer;
    }
    return next;
  }
}
