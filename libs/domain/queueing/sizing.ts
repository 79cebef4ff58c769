import { waitProbability } from './erlang.js';
import { brokenByWait, type ServiceModel } from './service-model.js';

/** More workers are never asked for. */
export const MAX_SIZED_WORKERS = 1_000_000;
const LEAST_WAIT_MS = 1e-9;
/** Precision of a capacity: this many √servers of headroom, i.e. 1e-5 of the capacity of 100 servers. */
const HEADROOM_PRECISION = 1e-4;
const MAX_SOLVER_STEPS = 60;
/** Up to here every number of servers is solved by itself: the headroom bends. */
const SMALL_SERVERS = 8;

export type Sizing =
  | { ok: true; workers: number }
  /** No number of workers holds the objective; `workers` keeps the wait below a tenth of the mean service time. */
  | { ok: false; reason: 'service-time'; shareOverObjective: number; workers: number };

/**
 * The least whole number of workers with P(response > objective) ≤ 1 − quantile in M/G/c. 0 for no load; at most
 * {@link MAX_SIZED_WORKERS}. A rate that is no number counts as 0 (check it before: here it would mean "cannot tell").
 */
export function workersFor(
  { ratePerS, slotsPerWorker }: { ratePerS: number; slotsPerWorker: number },
  model: ServiceModel,
): Sizing {
  const workers = leastWorkers({ ratePerS, slotsPerWorker }, model);
  if (model.reachable) return { ok: true, workers };
  return { ok: false, reason: 'service-time', shareOverObjective: model.shareOverObjective, workers };
}

/** Share of requests over the objective, [0, 1]; 1 where the queue grows without end. */
export function violatingShare(
  { ratePerS, servers }: { ratePerS: number; servers: number },
  model: ServiceModel,
): number {
  const load = loadOf(ratePerS, model);
  if (load >= servers && load > 0) return 1;
  return Math.min(1, model.shareOverObjective + brokenShare({ load, servers }, model));
}

/** Offered work: how many servers would be busy on average. */
export function loadOf(ratePerS: number, { meanMs }: ServiceModel): number {
  return (ratePerS * meanMs) / 1000;
}

/**
 * The largest rate per second that so many workers carry within the objective, the inverse of {@link workersFor}, for many
 * numbers of workers: solved on a grid of servers when first needed, the headroom in between linear in √servers
 * (square-root staffing makes it nearly so; error in sizing.spec.ts). Belongs to one decision.
 */
export function capacityCurve(
  { slotsPerWorker }: { slotsPerWorker: number },
  model: ServiceModel,
): (workers: number) => number {
  const solved: number[] = [];
  const headroomAt = (index: number) => (solved[index] ??= headroom(gridServers(index), model));
  return (workers) => {
    const servers = workers * slotsPerWorker;
    if (!(servers >= 1)) return 0;
    const index = gridIndex(servers);
    const low = gridServers(index);
    const atLow = headroomAt(index);
    if (low === servers) return ((servers - atLow) * 1000) / model.meanMs;
    const [root, lowRoot, highRoot] = [Math.sqrt(servers), Math.sqrt(low), Math.sqrt(gridServers(index + 1))];
    const between = (root - lowRoot) / (highRoot - lowRoot);
    return ((servers - atLow - between * (headroomAt(index + 1) - atLow)) * 1000) / model.meanMs;
  };
}

/** 1, 2, 3 … 8, then 12, 16, 24, 32 …: powers of two and the middles between them. */
function gridServers(index: number): number {
  if (index < SMALL_SERVERS) return index + 1;
  const beyond = index - SMALL_SERVERS + 1;
  return SMALL_SERVERS * 2 ** (beyond >> 1) * (beyond % 2 === 0 ? 1 : 1.5);
}

/** Of the largest grid point that is not above. */
function gridIndex(servers: number): number {
  if (servers < SMALL_SERVERS) return Math.floor(servers) - 1;
  const power = Math.floor(Math.log2(servers / SMALL_SERVERS) + 1e-12);
  const middle = servers >= 1.5 * SMALL_SERVERS * 2 ** power ? 1 : 0;
  return SMALL_SERVERS - 1 + 2 * power + middle;
}

function leastWorkers(
  { ratePerS, slotsPerWorker }: { ratePerS: number; slotsPerWorker: number },
  model: ServiceModel,
): number {
  const load = loadOf(ratePerS, model);
  if (!(load > 0)) return 0;
  const enough = (workers: number) => holds({ load, servers: workers * slotsPerWorker }, model);
  // The queue is stable from here on; what is missing is of the order of √load.
  let low = Math.min(MAX_SIZED_WORKERS, Math.floor(load / slotsPerWorker));
  let step = Math.max(1, Math.round(Math.sqrt(load) / slotsPerWorker));
  let high = low + step;
  while (high < MAX_SIZED_WORKERS && !enough(high)) {
    low = high;
    step *= 2;
    high = low + step;
  }
  high = Math.min(high, MAX_SIZED_WORKERS);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (enough(middle)) high = middle;
    else low = middle;
  }
  return high;
}

function holds(queue: { load: number; servers: number }, model: ServiceModel): boolean {
  return queue.load < queue.servers && brokenShare(queue, model) <= model.budget;
}

/**
 * P(wait) × P(the wait breaks the objective). The wait of those who wait is exponential with the mean of
 * Allen & Cunneen: (c_a² + c_s²)/2 of what it is in M/M/c.
 */
function brokenShare({ load, servers }: { load: number; servers: number }, model: ServiceModel): number {
  const wait = waitProbability({ servers, load });
  if (wait === 0) return 0;
  const variability = (model.arrivalScv + model.serviceScv) / 2;
  const meanWaitMs = Math.max(LEAST_WAIT_MS, (variability * model.meanMs) / (servers - load));
  return wait * brokenByWait(model, meanWaitMs);
}

/**
 * Servers less the largest load that holds. In units of √servers it is nearly the same for all sizes; the logarithm of
 * the broken share is smooth in it, so that false position (Illinois) needs a handful of steps.
 */
function headroom(servers: number, model: ServiceModel): number {
  const root = Math.sqrt(servers);
  const budget = Math.log(model.budget);
  const excess = (units: number) =>
    Math.log(Math.max(1e-300, brokenShare({ load: servers - units * root, servers }, model))) - budget;
  let [low, lowExcess] = [0, -budget];
  let high = Math.min(1, root);
  let highExcess = excess(high);
  while (highExcess > 0 && high < root) {
    [low, lowExcess] = [high, highExcess];
    high = Math.min(2 * high, root);
    highExcess = excess(high);
  }
  let movedLow: boolean | undefined;
  for (let i = 0; i < MAX_SOLVER_STEPS && high - low > HEADROOM_PRECISION; i++) {
    const share = lowExcess / (lowExcess - highExcess);
    const units = low + (high - low) * Math.min(0.95, Math.max(0.05, share));
    const unitsExcess = excess(units);
    if (unitsExcess > 0) {
      [low, lowExcess] = [units, unitsExcess];
      if (movedLow === true) highExcess /= 2;
      movedLow = true;
    } else {
      [high, highExcess] = [units, unitsExcess];
      if (movedLow === false) lowExcess /= 2;
      movedLow = false;
    }
  }
  return Math.min(servers, high * root);
}
