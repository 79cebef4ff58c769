import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { MANY_SERVERS, waitProbability } from './erlang.js';

/** Erlang's recursion for the loss B, then C: slow, and right for any number of servers. */
function byRecursion({ servers, load }: { servers: number; load: number }): number {
  let loss = 1;
  for (let n = 1; n <= servers; n++) loss = (load * loss) / (n + load * loss);
  const utilisation = load / servers;
  return loss / (1 - utilisation * (1 - loss));
}

describe('Erlang C', () => {
  test('published values', () => {
    // One server: the wait probability is the utilisation. Two: 2ρ² ÷ (1 + ρ).
    expect(waitProbability({ servers: 1, load: 0.3 })).toBeCloseTo(0.3, 12);
    expect(waitProbability({ servers: 2, load: 1 })).toBeCloseTo(1 / 3, 12);
    // Gross et al., Fundamentals of Queueing Theory: c = 10, load 8.
    expect(waitProbability({ servers: 10, load: 8 })).toBeCloseTo(0.4092, 4);
  });

  test('agrees with the recursion: exactly below MANY_SERVERS, within 0.06 % above', () => {
    const queue = fc.record({
      servers: fc.integer({ min: 1, max: 20_000 }),
      safety: fc.double({ min: 0.01, max: 4, noNaN: true }),
    });
    fc.assert(
      fc.property(queue, ({ servers, safety }) => {
        const load = servers - safety * Math.sqrt(servers);
        fc.pre(load > 0);
        const error = waitProbability({ servers, load }) / byRecursion({ servers, load }) - 1;
        expect(Math.abs(error)).toBeLessThan(servers < MANY_SERVERS ? 1e-9 : 6e-4);
      }),
    );
  });

  test('100,000 servers are a number like any other', () => {
    expect(waitProbability({ servers: 100_000, load: 99_800 })).toBeGreaterThan(0);
    expect(waitProbability({ servers: 100_000, load: 99_800 })).toBeLessThan(1);
    expect(waitProbability({ servers: 100_000, load: 1000 })).toBe(0);
    expect(waitProbability({ servers: 159, load: 1 })).toBe(0);
  });

  test('no load never waits, overload always does', () => {
    for (const load of [0, -1, Number.NaN]) expect(waitProbability({ servers: 3, load })).toBe(0);
    for (const load of [3, 4, Infinity]) expect(waitProbability({ servers: 3, load })).toBe(1);
  });
});
