import { drawExponential, drawLognormal, type Spread } from './draws.js';
import { createRandom } from './random.js';
import { SimulatedPool } from './simulated-pool.js';

export interface QueueRun {
  /** In order of their end; the first `warmUp` requests are left out. */
  waitsMs: Float64Array;
  responsesMs: Float64Array;
  /** Of the whole run, until the last request has ended. */
  requestMs: number;
  responseMsTotal: number;
}

/** An M/G/c queue: Poisson arrivals at one rate, lognormal service (mean in ms), a fixed number of servers. */
export function simulateQueue(run: {
  ratePerS: number;
  servers: number;
  serviceMs: Spread;
  requests: number;
  warmUp: number;
  seed: number;
}): QueueRun {
  const random = createRandom(run.seed);
  const waitsMs = new Float64Array(run.requests - run.warmUp);
  const responsesMs = new Float64Array(run.requests - run.warmUp);
  let ended = 0;
  let responseMsTotal = 0;
  const pool = new SimulatedPool({
    slotsPerWorker: run.servers,
    startDelayMs: 0,
    maxQueued: Infinity,
    onEnd: ({ arrivedMs, startedMs, endedMs }) => {
      responseMsTotal += endedMs - arrivedMs;
      const at = ended++ - run.warmUp;
      if (at < 0) return;
      waitsMs[at] = startedMs - arrivedMs;
      responsesMs[at] = endedMs - arrivedMs;
    },
  });
  pool.begin(1);
  let atMs = 0;
  for (let i = 0; i < run.requests; i++) {
    atMs += drawExponential(run.ratePerS / 1000, random);
    pool.arrive(atMs, drawLognormal(run.serviceMs, random));
  }
  pool.finish();
  return { waitsMs, responsesMs, requestMs: pool.requestMs, responseMsTotal };
}
