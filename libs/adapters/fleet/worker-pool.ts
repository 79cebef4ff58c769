import {
  checkOrder,
  TOLD_WITHIN_MS,
  type FleetMember,
  type FleetObservation,
  type FleetObserver,
  type Membership,
  type MembershipListener,
} from './fleet.js';
import type { FleetTime } from './fleet-time.js';
import { LeadTime } from './lead-time.js';

/** How a pool's workers come to life; each fleet has its own. Neither function calls the listener before it returns. */
export interface Launcher {
  launch(workerId: string, listener: WorkerListener): LaunchedWorker;
}

export interface WorkerListener {
  /** It may be chosen. */
  ready(url: string): void;
  /** It is gone; called exactly once. */
  ended(reason: string): void;
  eventsDropped(drop: { events: number; reason: string }): void;
}

export interface LaunchedWorker {
  /** Finishes what it has, then ends; at once when it is still starting. */
  drain(): void;
  /** Ends now. */
  kill(): void;
}

export interface WorkerPoolSettings {
  pool: string;
  slots: number;
  /** An order beyond it is cut to it. */
  maxWorkers: number;
  /** What a start is expected to take until one was measured, seconds. */
  expectedLeadTimeS: number;
  /** A worker that is not ready by then is killed and counts as crashed. */
  startTimeoutMs: number;
  /** A draining worker that has not ended by then is killed. */
  drainTimeoutMs: number;
}

/** The pause before a crashed worker is replaced: doubles from crash to crash of the same seat. */
const RESTART_MIN_MS = 250;
const RESTART_MAX_MS = 30_000;
/** A worker that was ready for this long was sound: its crash is the first of a new series. */
const SOUND_AFTER_MS = 60_000;

interface Worker {
  workerId: string;
  handle: LaunchedWorker;
  orderedMs: number;
  url: string | undefined;
  readyMs: number | undefined;
  killed: boolean;
  ended: boolean;
  stopTimer: () => void;
}

/**
 * One of the workers a pool ought to have. It outlives its worker: a crash empties the seat for a while.
 *
 *            ┌───────── back-off over ──────────┐
 *            ▼                                  │
 *   order ─▶ starting ─ ready ─▶ ready ─ ended ─▶ waiting
 *            │    └───── ended ──────────────────▲
 *            └── scale-in ──▶ draining ◀─ (from ready too; from waiting the seat just goes)
 */
interface Seat {
  state: 'waiting' | 'starting' | 'ready' | 'draining';
  worker: Worker | undefined;
  crashesInARow: number;
  stopWaiting: () => void;
}

/** Keeps one pool at its desired number of workers. The same rules for real processes and simulated ones. */
export class WorkerPool {
  private seats: Seat[] = [];
  private desired = 0;
  private ordered = false;
  private crashes = 0;
  private launched = 0;
  private readonly leadTime: LeadTime;
  private readonly emptied: (() => void)[] = [];

  constructor(
    private readonly settings: WorkerPoolSettings,
    private readonly launcher: Launcher,
    private readonly time: FleetTime,
    private readonly observer: FleetObserver,
    private readonly onMembership: MembershipListener,
  ) {
    this.leadTime = new LeadTime(settings.expectedLeadTimeS);
  }

  scale(desired: number): void {
    checkOrder({ pool: this.settings.pool, desired });
    this.ordered = true;
    this.desired = Math.min(desired, this.settings.maxWorkers);
    const staying = this.seats.filter(({ state }) => state !== 'draining');
    for (let n = staying.length; n < this.desired; n += 1) this.addSeat();
    this.release(leavingFirst(staying).slice(0, Math.max(0, staying.length - this.desired)));
  }

  observe(): FleetObservation {
    const count = (...states: Seat['state'][]) =>
      this.seats.filter(({ state }) => states.includes(state)).length;
    return {
      ready: count('ready'),
      starting: count('starting', 'waiting'),
      draining: count('draining'),
      desired: this.desired,
      ordered: this.ordered,
      maxWorkers: this.settings.maxWorkers,
      slotsPerWorker: this.settings.slots,
      leadTimeS: this.leadTime.s,
      crashes: this.crashes,
    };
  }

  membership(): Membership {
    const members = this.seats.flatMap(({ state, worker }): FleetMember[] => {
      if (worker?.url === undefined || (state !== 'ready' && state !== 'draining')) return [];
      return [{ workerId: worker.workerId, url: worker.url, slots: this.settings.slots, state }];
    });
    return { pool: this.settings.pool, members };
  }

  /** Drains all and resolves when the last one is gone. */
  async close(): Promise<void> {
    this.scale(0);
    if (this.seats.length === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.emptied.push(resolve);
    await promise;
  }

  private addSeat(): void {
    const seat: Seat = { state: 'waiting', worker: undefined, crashesInARow: 0, stopWaiting: () => {} };
    this.seats.push(seat);
    this.launch(seat);
  }

  private launch(seat: Seat): void {
    const { pool, startTimeoutMs } = this.settings;
    this.launched += 1;
    const workerId = `${pool}-${this.launched}`;
    seat.state = 'starting';
    const worker: Worker = {
      workerId,
      orderedMs: this.time.nowMs(),
      url: undefined,
      readyMs: undefined,
      killed: false,
      ended: false,
      stopTimer: () => {},
      handle: this.launcher.launch(workerId, {
        ready: (url) => this.onReady(seat, worker, url),
        ended: (reason) => this.onEnded(seat, worker, reason),
        eventsDropped: (drop) => this.observer.eventsDropped({ pool, workerId, ...drop }),
      }),
    };
    seat.worker = worker;
    worker.stopTimer = this.time.after(startTimeoutMs, () => kill(worker));
    this.observer.started({ pool, workerId });
  }

  private onReady(seat: Seat, worker: Worker, url: string): void {
    // It was told to leave, or killed for its slowness, while its "ready" was on the way.
    if (seat.state !== 'starting' || worker.killed) return;
    worker.stopTimer();
    worker.url = url;
    worker.readyMs = this.time.nowMs();
    seat.state = 'ready';
    const leadTimeS = (worker.readyMs - worker.orderedMs) / 1000;
    this.leadTime.measured(leadTimeS);
    this.observer.ready({ pool: this.settings.pool, workerId: worker.workerId, leadTimeS });
    void this.onMembership(this.membership());
  }

  private onEnded(seat: Seat, worker: Worker, reason: string): void {
    worker.stopTimer();
    worker.ended = true;
    if (seat.state === 'draining') {
      this.seats = this.seats.filter((other) => other !== seat);
      const { pool } = this.settings;
      this.observer.stopped({ pool, workerId: worker.workerId, killed: worker.killed });
    } else {
      this.onCrashed(seat, worker, reason);
    }
    if (worker.url !== undefined) void this.onMembership(this.membership());
    if (this.seats.length === 0) for (const resolve of this.emptied.splice(0)) resolve();
  }

  private onCrashed(seat: Seat, worker: Worker, reason: string): void {
    const { pool, startTimeoutMs } = this.settings;
    this.crashes += 1;
    const wasSound = worker.readyMs !== undefined && this.time.nowMs() - worker.readyMs >= SOUND_AFTER_MS;
    const restartInMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** (wasSound ? 0 : seat.crashesInARow));
    seat.crashesInARow = wasSound ? 1 : seat.crashesInARow + 1;
    seat.state = 'waiting';
    seat.worker = undefined;
    seat.stopWaiting = this.time.after(restartInMs, () => this.launch(seat));
    const because = worker.killed ? `must be ready within ${startTimeoutMs} ms` : reason;
    this.observer.crashed({ pool, workerId: worker.workerId, reason: because, restartInMs });
  }

  /** First everybody learns who leaves, then they are told to: no new request is on its way to a worker that stops. */
  private release(leaving: Seat[]): void {
    if (leaving.length === 0) return;
    for (const seat of leaving) {
      seat.stopWaiting();
      seat.state = 'draining';
    }
    this.seats = this.seats.filter(({ worker }) => worker !== undefined);
    const workers = leaving.flatMap(({ worker }) => worker ?? []);
    const told = this.onMembership(this.membership());
    if (told === undefined) return this.dismiss(workers);
    this.dismiss(workers.filter(({ url }) => url === undefined)); // nobody knows of them
    void this.inTime(told).then(() => this.dismiss(workers.filter(({ url }) => url !== undefined)));
  }

  private dismiss(workers: Worker[]): void {
    for (const worker of workers) {
      if (worker.ended) continue;
      worker.stopTimer();
      worker.stopTimer = this.time.after(this.settings.drainTimeoutMs, () => kill(worker));
      worker.handle.drain();
    }
  }

  private inTime(told: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stopTimer = this.time.after(TOLD_WITHIN_MS, resolve);
    return Promise.race([told, promise]).finally(stopTimer);
  }
}

function kill(worker: Worker): void {
  worker.killed = true;
  worker.handle.kill();
}

/** Who leaves first: who does not work yet, then the newest, whose caches are the coldest. Seats are in order of age. */
function leavingFirst(seats: Seat[]): Seat[] {
  const rank = { waiting: 0, starting: 1, ready: 2, draining: 3 };
  return [...seats].reverse().sort((a, b) => rank[a.state] - rank[b.state]);
}
