import type { FleetObserver } from '../fleet.js';
import { PoolsFleet } from '../pools-fleet.js';
import { WorkerPool, type LaunchedWorker, type Launcher, type WorkerListener } from '../worker-pool.js';
import { ManualTime } from './manual-time.js';

export interface SimulatedPoolSettings {
  slots: number;
  /** From the order to ready, ms; called once per worker, so that starts may differ. */
  startMs: () => number;
  drainS: number;
  expectedLeadTimeS: number;
  /** An order beyond it is cut to it. */
  maxWorkers?: number;
}

const MAX_SIMULATED_WORKERS = 100_000;
/** A start that takes longer than this is a start that never ends. */
const START_TIMEOUT_MS = 3_600_000;

/** Workers that exist only as times: the rules of a real fleet, at the speed of {@link advance}. Deterministic. */
export class SimulatedFleet extends PoolsFleet {
  private readonly time: ManualTime;
  private readonly workers: Map<string, SimulatedWorker>;

  constructor(given: { pools: Record<string, SimulatedPoolSettings>; observer: FleetObserver }) {
    const time = new ManualTime();
    const workers = new Map<string, SimulatedWorker>();
    super((onMembership) => {
      const pools = Object.entries(given.pools).map(([pool, settings]): [string, WorkerPool] => {
        const launcher = simulatedLauncher({ time, workers, settings });
        return [
          pool,
          new WorkerPool(workerPoolSettings(pool, settings), launcher, time, given.observer, onMembership),
        ];
      });
      return new Map(pools);
    });
    this.time = time;
    this.workers = workers;
  }

  /** Lets time pass; everything that happens meanwhile has happened when it returns. */
  advance(ms: number): void {
    this.time.advance(ms);
  }

  /** The worker dies now, and what it had is lost. */
  crash(workerId: string): void {
    this.workerOf(workerId).end('crashed');
  }

  /** A worker gets a request that takes this long; a draining worker stays until it is done. */
  serve(workerId: string, durationMs: number): Promise<'finished' | 'lost'> {
    return this.workerOf(workerId).serve(durationMs);
  }

  private workerOf(workerId: string): SimulatedWorker {
    const worker = this.workers.get(workerId);
    if (worker === undefined) throw new Error(`fleet: worker must be alive, got ${workerId}`);
    return worker;
  }
}

function workerPoolSettings(pool: string, settings: SimulatedPoolSettings) {
  const { slots, drainS, expectedLeadTimeS, maxWorkers = MAX_SIMULATED_WORKERS } = settings;
  return {
    pool,
    slots,
    expectedLeadTimeS,
    maxWorkers,
    startTimeoutMs: START_TIMEOUT_MS,
    drainTimeoutMs: drainS * 1000,
  };
}

function simulatedLauncher(given: {
  time: ManualTime;
  workers: Map<string, SimulatedWorker>;
  settings: SimulatedPoolSettings;
}): Launcher {
  const { time, workers, settings } = given;
  return {
    launch: (workerId, listener) => {
      const ended = (reason: string) => {
        workers.delete(workerId);
        listener.ended(reason);
      };
      const worker = new SimulatedWorker(time, { ...listener, ended });
      workers.set(workerId, worker);
      time.after(settings.startMs(), () => worker.becomeReady(`http://${workerId}.simulated`));
      return worker;
    },
  };
}

class SimulatedWorker implements LaunchedWorker {
  private readonly serving = new Set<(outcome: 'lost') => void>();
  private draining = false;
  private gone = false;

  constructor(
    private readonly time: ManualTime,
    private readonly listener: WorkerListener,
  ) {}

  becomeReady(url: string): void {
    if (!this.gone) this.listener.ready(url);
  }

  serve(durationMs: number): Promise<'finished' | 'lost'> {
    const { promise, resolve } = Promise.withResolvers<'finished' | 'lost'>();
    this.serving.add(resolve);
    this.time.after(durationMs, () => {
      if (!this.serving.delete(resolve)) return;
      resolve('finished');
      this.leaveWhenIdle();
    });
    return promise;
  }

  drain(): void {
    this.draining = true;
    // In its own step, as a real process: nothing ends while it is being told to.
    this.time.after(0, () => this.leaveWhenIdle());
  }

  kill(): void {
    this.time.after(0, () => this.end('killed'));
  }

  end(reason: string): void {
    if (this.gone) return;
    this.gone = true;
    for (const lose of this.serving) lose('lost');
    this.serving.clear();
    this.listener.ended(reason);
  }

  private leaveWhenIdle(): void {
    if (this.draining && this.serving.size === 0) this.end('drained');
  }
}
