import { expect, test } from '@jest/globals';
import type { EventLog } from '#adapters/event-log';
import { SampledDemand, type SampledPool } from './sampled-demand.js';

const T = 1_800_000_000_000;

test('queries that are never answered keep no other pool of their source from being asked for', async () => {
  let nowMs = T;
  let asked: number[] = [];
  let given: PromiseWithResolvers<never>;
  const hung = new Set([0, 1, 2, 3, 4, 5, 6, 7]);
  const pools = Array.from({ length: 20 }, (_, i): SampledPool => {
    const sample = async () => {
      asked.push(i);
      return hung.has(i) ? given.promise : [];
    };
    return { source: 'prom', pool: `pool-${i}`, sampler: { sample }, delayS: 1 };
  });
  const sampled = new SampledDemand({
    // Nothing is told, so nothing is appended.
    log: undefined as unknown as EventLog,
    table: { chainsOf: () => new Map() },
    pools,
    bucketSOf: () => 1,
    nowMs: () => nowMs,
    observer: { sampled: () => undefined, sampleFailed: () => undefined },
  });
  /** One that takes too long, as its loop ends it. */
  const runs = async () => {
    given = Promise.withResolvers<never>();
    asked = [];
    const late = new AbortController();
    const run = sampled.run(late.signal);
    while ([...hung].some((i) => !asked.includes(i))) await new Promise((resolve) => setImmediate(resolve));
    late.abort();
    given.reject(new Error('no answer'));
    await run;
    return asked;
  };
  expect(await runs()).toEqual([...hung]);
  nowMs += 10_000;
  expect((await runs()).slice(0, 12)).toEqual([8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
});
