import type { DemandStore } from '#adapters/store';
import { addToSketch, emptyBucket, type Bucket } from '#domain/demand';
import { drawLognormal, type Random } from '#domain/simulation';
import { arrivalsOf } from '#adapters/sources';
import { historyRates, POOL, SERVICE_MS, WARM_UP_S } from './setting.js';

/** A reader takes the first message of a source partition when it has seen nothing of it: this says so. */
const NOTHING_SEEN = -1;

/**
 * Writes the days before the scored one into the table of demand, up to `untilMs` (a whole second), as if they had
 * been counted: Poisson arrivals of the same generator, and their service times.
 */
export async function backFill(
  store: DemandStore,
  { seed, untilMs, random }: { seed: number; untilMs: number; random: Random },
): Promise<void> {
  const buckets = historyBuckets({ seed, untilMs, random });
  await store.write({
    buckets: buckets.map((bucket) => ({ pool: POOL, bucket })),
    chains: [{ pool: POOL, partition: 0, nextOffset: NOTHING_SEEN, backlog: 0, inFlight: 0 }],
    step: { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 0 },
  });
}

function historyBuckets({
  seed,
  untilMs,
  random,
}: {
  seed: number;
  untilMs: number;
  random: Random;
}): Bucket[] {
  const rates = historyRates(seed).slice(0, -WARM_UP_S);
  const buckets = rates.map((_, second) => emptyBucket(untilMs - (rates.length - second) * 1000));
  const steps = rates.map((ratePerS) => ({ durationMs: 1000, ratePerS }));
  for (const atMs of arrivalsOf(steps, random)) {
    const bucket = buckets[Math.floor(atMs / 1000)] as Bucket;
    const serviceMs = drawLognormal(SERVICE_MS, random);
    bucket.arrivals++;
    bucket.starts++;
    bucket.completions++;
    addToSketch(bucket.waitMs, 0);
    addToSketch(bucket.serviceMs, serviceMs);
    addToSketch(bucket.responseMs, serviceMs);
  }
  return buckets;
}
