/** What a worker carries: `0 ≤ inFlight ≤ slots` while the slots stay the same; fewer slots may leave it above. */
export interface WorkerLoad {
  readonly slots: number;
  readonly inFlight: number;
}

/**
 * Power of two choices: the less loaded of two different workers with a free slot, chosen at random (Mitzenmacher,
 * "The Power of Two Choices in Randomized Load Balancing", 2001). Not the least loaded of all: with several routers
 * everyone would choose the same one. Load is in-flight per slot, so that workers of different size fill alike.
 * `random` in [0, 1) decides both choices. Undefined: no free slot.
 */
export function pickLeastInFlight<W extends WorkerLoad>(
  workers: readonly W[],
  random: number,
  avoid?: W,
): W | undefined {
  let free = 0;
  for (const worker of workers) if (isFree(worker, avoid)) free++;
  if (free < 2) return workers.find((worker) => isFree(worker, avoid));
  const pair = Math.floor(random * free * (free - 1));
  const first = Math.floor(pair / (free - 1));
  const rest = pair % (free - 1);
  const one = nthFree(workers, first, avoid);
  const other = nthFree(workers, rest < first ? rest : rest + 1, avoid);
  return other.inFlight * one.slots < one.inFlight * other.slots ? other : one;
}

function isFree(worker: WorkerLoad, avoid: WorkerLoad | undefined): boolean {
  return worker.inFlight < worker.slots && worker !== avoid;
}

// Walks instead of collecting the free ones: no garbage per request.
function nthFree<W extends WorkerLoad>(workers: readonly W[], n: number, avoid: W | undefined): W {
  let left = n;
  const found = workers.find((worker) => isFree(worker, avoid) && left-- === 0);
  return found as W;
}
