import { drawExponential, drawLognormal, type Spread } from './draws.js';
import { createRandom } from './random.js';
import { SimulatedPool } from './simulated-pool.js';
import { Verdicts } from './verdicts.js';
import type { Objective } from '#domain/slo';

/** What a controller may see at the end of a second; the same for every rule that is compared. */
export interface LoopObservation {
  /** Seconds since the start: so many seconds are over. */
  nowS: number;
  /** Requests that arrived in each second so far, rejected ones included. Read only. */
  arrivals: readonly number[];
  backlog: number;
  inFlight: number;
  ready: number;
  starting: number;
  draining: number;
  /** What it answered last. */
  desired: number;
}

export interface LoopSettings {
  /** Expected arrivals of each second; a Poisson process with that rate is drawn. */
  ratesPerS: readonly number[];
  serviceMs: Spread;
  slotsPerWorker: number;
  /** From the order of a worker to its first request. */
  leadTimeS: number;
  objective: Pick<Objective, 'responseMs' | 'quantile'>;
  initialWorkers: number;
  /** Rejects beyond so many waiting requests. */
  maxQueued?: number;
  seed: number;
  /** Asked every second: the number of workers wanted. */
  control(observation: LoopObservation): number;
}

export interface LoopResult {
  requests: number;
  /** Slower than the objective, or rejected. */
  violating: number;
  violatingShare: number;
  rejected: number;
  /** docs/ARCHITECTURE.md, "How it is measured". */
  violationSeconds: number;
  /** Paid from the order to the end of the drain, within the seconds of the run. */
  workerSeconds: number;
  /** Ready workers at the end of each second. */
  readyPerS: number[];
  /** Requests, and the violating ones of them, by the second of their end. */
  requestsPerS: number[];
  violatingPerS: number[];
}

const DEFAULT_MAX_QUEUED = 10_000;

/** Runs a controller against a simulated pool. The arrivals and service times depend on the seed alone. */
export function simulateLoop(settings: LoopSettings): LoopResult {
  const { ratesPerS, objective, slotsPerWorker, leadTimeS } = settings;
  const verdicts = new Verdicts(objective);
  const pool = new SimulatedPool({
    slotsPerWorker,
    startDelayMs: leadTimeS * 1000,
    maxQueued: settings.maxQueued ?? DEFAULT_MAX_QUEUED,
    onEnd: ({ arrivedMs, endedMs }) => verdicts.add(endedMs - arrivedMs > objective.responseMs),
  });
  pool.begin(settings.initialWorkers);
  const load = new Load(settings);
  const readyPerS: number[] = [];
  const requestsPerS: number[] = [];
  const violatingPerS: number[] = [];
  let before = { requests: 0, violating: 0 };
  let desired = settings.initialWorkers;
  ratesPerS.forEach((_, second) => {
    verdicts.rejected += load.send(second, pool, () => verdicts.add(true));
    const nowS = second + 1;
    pool.advanceTo(nowS * 1000);
    verdicts.endSecond();
    const { requests, violating } = verdicts;
    requestsPerS.push(requests - before.requests);
    violatingPerS.push(violating - before.violating);
    before = { requests, violating };
    readyPerS.push(pool.count('ready'));
    desired = settings.control(observe(nowS, load.arrivals, pool, desired));
    pool.order(nowS * 1000, desired);
  });
  const workerSeconds = pool.paidMs / 1000;
  pool.finish();
  // Nobody is left to serve them.
  for (let i = 0; i < pool.backlog; i++) verdicts.add(true);
  return { ...verdicts.result(), workerSeconds, readyPerS, requestsPerS, violatingPerS };
}

function observe(
  nowS: number,
  arrivals: readonly number[],
  pool: SimulatedPool,
  desired: number,
): LoopObservation {
  const { backlog, inFlight } = pool;
  const workers = {
    ready: pool.count('ready'),
    starting: pool.count('starting'),
    draining: pool.count('draining'),
  };
  return { nowS, arrivals, backlog, inFlight, ...workers, desired };
}

/** Poisson arrivals with the rate of each second, and their service times. */
class Load {
  readonly arrivals: number[] = [];
  private readonly random;

  constructor(private readonly settings: LoopSettings) {
    this.random = createRandom(settings.seed);
  }

  /** Sends one second of requests; returns how many were rejected. */
  send(second: number, pool: SimulatedPool, onRejected: () => void): number {
    const { ratesPerS, serviceMs } = this.settings;
    const rate = (ratesPerS[second] as number) / 1000;
    let [arrived, rejected] = [0, 0];
    let atMs = second * 1000 + drawExponential(rate, this.random);
    for (; atMs < (second + 1) * 1000; atMs += drawExponential(rate, this.random)) {
      arrived++;
      if (pool.arrive(atMs, drawLognormal(serviceMs, this.random))) continue;
      rejected++;
      onRejected();
    }
    this.arrivals.push(arrived);
    return rejected;
  }
}
