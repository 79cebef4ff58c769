import { drawExponential, drawLognormal, type Spread } from './draws.js';
import { createRandom } from './random.js';
import { SimulatedPool } from './simulated-pool.js';
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
  /** definitions.md, "Live violation second". */
  violationSeconds: number;
  /** Paid from the order to the end of the drain, within the seconds of the run. */
  workerSeconds: number;
  /** Ready workers at the end of each second. */
  readyPerS: number[];
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
  let desired = settings.initialWorkers;
  ratesPerS.forEach((_, second) => {
    verdicts.rejected += load.send(second, pool, () => verdicts.add(true));
    const nowS = second + 1;
    pool.advanceTo(nowS * 1000);
    verdicts.endSecond();
    readyPerS.push(pool.count('ready'));
    desired = settings.control(observe(nowS, load.arrivals, pool, desired));
    pool.order(nowS * 1000, desired);
  });
  const workerSeconds = pool.paidMs / 1000;
  pool.finish();
  // Nobody is left to serve them.
  for (let i = 0; i < pool.backlog; i++) verdicts.add(true);
  return { ...verdicts.result(), workerSeconds, readyPerS };
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

/** Requests judged in the order of their end. */
class Verdicts {
  rejected = 0;
  /** violatingBefore[i]: violating ones among the first i. */
  private readonly violatingBefore = [0];
  private endedBeforeSecond = 0;
  private violationSeconds = 0;

  constructor(private readonly objective: Pick<Objective, 'quantile'>) {}

  add(violates: boolean): void {
    this.violatingBefore.push((this.violatingBefore.at(-1) as number) + (violates ? 1 : 0));
  }

  endSecond(): void {
    const ended = this.violatingBefore.length - 1;
    const window = Math.min(ended, Math.max(LIVE_REQUESTS, ended - this.endedBeforeSecond));
    const violating = this.total(ended) - this.total(ended - window);
    if (violating > (1 - this.objective.quantile) * window) this.violationSeconds++;
    this.endedBeforeSecond = ended;
  }

  result() {
    const requests = this.violatingBefore.length - 1;
    const violating = this.total(requests);
    const { rejected, violationSeconds } = this;
    const violatingShare = requests === 0 ? 0 : violating / requests;
    return { requests, violating, violatingShare, rejected, violationSeconds };
  }

  private total(index: number): number {
    return this.violatingBefore[index] as number;
  }
}

/** A second is judged by at least so many of the latest requests: fewer would violate by chance. */
const LIVE_REQUESTS = 200;
