import type { FleetObserver } from '../fleet.js';
import type { FleetTime } from '../fleet-time.js';
import { PoolsFleet } from '../pools-fleet.js';
import { WorkerPool, type Launcher } from '../worker-pool.js';
import type { WorkerStart } from '../worker-protocol.js';
import { WorkerProcess } from './worker-process.js';

/** More processes than this on one machine help nobody; an order beyond it is cut to it. */
export const MAX_LOCAL_WORKERS = 256;
/** A worker that is not ready this long after its start delay never will be. */
const BOOT_TIMEOUT_MS = 30_000;
const EXIT_GRACE_MS = 5_000;
/** What a boot takes until one was measured. */
const EXPECTED_BOOT_S = 0.5;
/** A failed renewal is repeated after this; the old token is still good for a while. */
const TOKEN_RETRY_MS = 5_000;

export interface LocalPoolSettings {
  slots: number;
  queueLimit: number;
  handlersDir: string;
  startDelayMs: number;
  drainS: number;
  /** Default: the start delay and half a second. */
  expectedLeadTimeS?: number;
}

export interface LocalProcessFleetOptions {
  /** The compiled main.js of the worker. */
  workerEntry: string;
  pools: Record<string, LocalPoolSettings>;
  /** Where workers send execution events. `token` is asked for every start, and again every `renewMs` for all. */
  events?: {
    url: string;
    token: () => Promise<string>;
    renewMs: number;
    /** The workers keep the old token, and it is tried again soon. */
    onRenewalFailed: (error: Error) => void;
  };
  observer: FleetObserver;
  /** After its drain time a worker has this long for its last events and its exit; default 5 s. */
  exitGraceMs?: number;
}

/** Workers as child processes of this one. When this process dies, however it dies, they exit. */
export class LocalProcessFleet extends PoolsFleet {
  private readonly processes: Set<WorkerProcess>;
  private tokenTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: LocalProcessFleetOptions) {
    const processes = new Set<WorkerProcess>();
    super((onMembership) => {
      const pools = Object.entries(options.pools).map(([pool, settings]): [string, WorkerPool] => {
        const launcher = launcherOf({ options, pool, settings, processes });
        const poolSettings = workerPoolSettings(pool, settings, options.exitGraceMs);
        return [pool, new WorkerPool(poolSettings, launcher, realTime, options.observer, onMembership)];
      });
      return new Map(pools);
    });
    this.processes = processes;
    if (options.events !== undefined) this.renewTokenIn(options.events.renewMs);
  }

  override async close(): Promise<void> {
    await super.close();
    clearTimeout(this.tokenTimer);
  }

  private renewTokenIn(delayMs: number): void {
    this.tokenTimer = setTimeout(() => void this.renewToken(), delayMs).unref();
  }

  private async renewToken(): Promise<void> {
    const { token, renewMs, onRenewalFailed } = this.options.events!;
    try {
      const renewed = await token();
      for (const worker of this.processes) worker.setToken(renewed);
      this.renewTokenIn(renewMs);
    } catch (error) {
      onRenewalFailed(error as Error);
      this.renewTokenIn(Math.min(renewMs, TOKEN_RETRY_MS));
    }
  }
}

const realTime: FleetTime = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

function workerPoolSettings(pool: string, settings: LocalPoolSettings, exitGraceMs = EXIT_GRACE_MS) {
  return {
    pool,
    slots: settings.slots,
    maxWorkers: MAX_LOCAL_WORKERS,
    expectedLeadTimeS: settings.expectedLeadTimeS ?? settings.startDelayMs / 1000 + EXPECTED_BOOT_S,
    startTimeoutMs: settings.startDelayMs + BOOT_TIMEOUT_MS,
    drainTimeoutMs: settings.drainS * 1000 + exitGraceMs,
  };
}

function launcherOf(given: {
  options: LocalProcessFleetOptions;
  pool: string;
  settings: LocalPoolSettings;
  processes: Set<WorkerProcess>;
}): Launcher {
  const { options, pool, settings, processes } = given;
  const startOf = async (workerId: string): Promise<WorkerStart> => {
    const { slots, queueLimit, handlersDir, startDelayMs, drainS } = settings;
    const events = options.events && {
      events: { url: options.events.url, token: await options.events.token() },
    };
    return {
      kind: 'start',
      pool,
      workerId,
      slots,
      queueLimit,
      handlersDir,
      startDelayMs,
      drainMs: drainS * 1000,
      ...events,
    };
  };
  return {
    launch: (workerId, listener) => {
      const worker = new WorkerProcess(
        { entry: options.workerEntry, start: () => startOf(workerId) },
        {
          ...listener,
          ended: (reason) => {
            processes.delete(worker);
            listener.ended(reason);
          },
        },
      );
      processes.add(worker);
      return worker;
    },
  };
}
