import { createRandom } from '#domain/simulation';
import type { Task } from '#sdk';

// The demo's task: a wait, as if for a database, lognormal with mean 20 ms and cv 0.5. Slots are what it uses up, not
// the CPU. Seeded by the worker id, so that a run repeats and workers differ.

const MEAN_MS = 20;
const CV = 0.5;
/** Variance and mean of the logarithm, from mean and cv: ln(1 + cv²), ln(mean) − σ²/2. */
const SIGMA = Math.sqrt(Math.log(1 + CV * CV));
const MU = Math.log(MEAN_MS) - (SIGMA * SIGMA) / 2;

/** At most this much is made up for; a stall of the machine is no reason for a hundred short waits. */
const MAX_CARRY_MS = 10;

let next: (() => number) | undefined;
/** How much longer the waits so far took than they should have, ms. */
let carryMs = 0;

/** Waits, then answers with the time it waited. */
export default async function timedWait({ workerId, signal }: Task) {
  next ??= waitsOf(workerId);
  const wantedMs = next();
  const beganMs = performance.now();
  await wait(Math.max(0, wantedMs - carryMs), signal);
  const tookMs = performance.now() - beganMs;
  carryMs = Math.min(MAX_CARRY_MS, Math.max(-MAX_CARRY_MS, carryMs + tookMs - wantedMs));
  return { contentType: 'application/json', body: JSON.stringify({ workerId, waitedMs: tookMs }) };
}

/**
 * Timers have whole milliseconds and fire late. The error is not avoided, it is carried into the next wait, so that the
 * mean is right although no single wait is.
 */
function wait(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  });
}

/** The waits of a worker in the order of its tasks, ms. Box and Muller (1958). */
export function waitsOf(workerId: string): () => number {
  const random = createRandom(seedOf(workerId));
  return () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.exp(MU + SIGMA * normal);
  };
}

/** FNV-1a, 32 bits. */
function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
