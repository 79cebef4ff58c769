import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { createRandom } from '#domain/simulation';
import { pickLeastInFlight, type WorkerLoad } from './least-in-flight.js';

const load = fc.record({ slots: fc.integer({ min: 1, max: 8 }), inFlight: fc.integer({ min: 0, max: 9 }) });
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const ratio = ({ inFlight, slots }: WorkerLoad) => inFlight / slots;

describe('pickLeastInFlight', () => {
  test('only one with a free slot, never the avoided one; undefined when there is none', () => {
    fc.assert(
      fc.property(fc.array(load, { maxLength: 12 }), chance, fc.nat(20), (workers, random, which) => {
        const avoid = workers[which];
        const picked = pickLeastInFlight(workers, random, avoid);
        const free = workers.filter((w) => w.inFlight < w.slots && w !== avoid);
        expect(picked === undefined ? free : free.includes(picked)).toEqual(picked === undefined ? [] : true);
      }),
    );
  });

  test('of two the less loaded, whatever chance says', () => {
    fc.assert(
      fc.property(load, load, chance, (one, other, random) => {
        const free = [one, other].filter((w) => w.inFlight < w.slots);
        const picked = pickLeastInFlight([one, other], random);
        for (const worker of free) expect(ratio(picked as WorkerLoad)).toBeLessThanOrEqual(ratio(worker));
      }),
    );
  });

  test('never the most loaded of all, when that is one', () => {
    fc.assert(
      fc.property(fc.array(load, { minLength: 2, maxLength: 12 }), chance, (others, random) => {
        const most = { slots: 100, inFlight: 99 };
        const below = others.map((w) => ({ ...w, inFlight: w.inFlight % w.slots }));
        expect(pickLeastInFlight([most, ...below], random)).not.toBe(most);
      }),
    );
  });

  test('every pair is as likely: with one idle worker of n it is chosen in 2/n of all cases', () => {
    const workers = Array.from({ length: 8 }, (_, i) => ({ slots: 4, inFlight: i === 5 ? 0 : 1 }));
    const random = createRandom(7);
    const n = 20_000;
    let idle = 0;
    for (let i = 0; i < n; i++) if (pickLeastInFlight(workers, random()) === workers[5]) idle++;
    // Binomial with p = 2/8: 5 standard deviations.
    expect(Math.abs(idle / n - 2 / 8)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / n));
  });

  test('a worker that has more than its slots gets nothing', () => {
    expect(pickLeastInFlight([{ slots: 2, inFlight: 3 }], 0.5)).toBeUndefined();
  });
});
