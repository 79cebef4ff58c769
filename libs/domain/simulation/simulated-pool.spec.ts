import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { Agenda } from './agenda.js';
import { drawLognormal } from './draws.js';
import { createRandom } from './random.js';
import { SimulatedPool, type EndedRequest } from './simulated-pool.js';

function poolOf(settings: { slotsPerWorker?: number; startDelayMs?: number; maxQueued?: number } = {}) {
  const ended: EndedRequest[] = [];
  const onEnd = (request: EndedRequest) => void ended.push(request);
  const pool = new SimulatedPool({
    slotsPerWorker: 1,
    startDelayMs: 1000,
    maxQueued: 100,
    ...settings,
    onEnd,
  });
  const counts = () =>
    (['starting', 'ready', 'draining'] as const).map((state) => pool.count(state)).join(' ');
  return { pool, ended, counts };
}

describe('simulated pool', () => {
  test('serves first in, first out, on the slots there are', () => {
    const { pool, ended } = poolOf({ slotsPerWorker: 2 });
    pool.begin(1);
    for (const [atMs, serviceMs] of [
      [0, 30],
      [1, 10],
      [2, 10],
      [3, 10],
    ] as const) {
      pool.arrive(atMs, serviceMs);
    }
    expect([pool.inFlight, pool.backlog]).toEqual([2, 2]);
    pool.finish();
    expect(ended.map(({ arrivedMs, startedMs, endedMs }) => [arrivedMs, startedMs, endedMs])).toEqual([
      [1, 1, 11],
      [2, 11, 21],
      // Both end at 30 and 31: the slot of the second request served all others.
      [0, 0, 30],
      [3, 21, 31],
    ]);
  });

  test('a worker is paid from its order, serves after its start, and drains before it goes', () => {
    const { pool, ended, counts } = poolOf();
    pool.order(0, 1);
    expect(counts()).toBe('1 0 0');
    pool.arrive(400, 700);
    pool.advanceTo(999);
    expect([pool.backlog, pool.inFlight]).toEqual([1, 0]);
    pool.advanceTo(1000);
    expect([pool.backlog, pool.inFlight]).toEqual([0, 1]);
    pool.order(1200, 0);
    expect(counts()).toBe('0 0 1');
    pool.arrive(1300, 10);
    pool.advanceTo(5000);
    expect(ended).toEqual([{ arrivedMs: 400, startedMs: 1000, endedMs: 1700 }]);
    expect(counts()).toBe('0 0 0');
    // No worker is left for the second request.
    expect(pool.backlog).toBe(1);
    expect(pool.paidMs).toBe(1700);
  });

  test('those that still start are let go first, the newest before the oldest', () => {
    const { pool, counts } = poolOf();
    pool.begin(2);
    pool.order(0, 3);
    pool.order(500, 4);
    pool.order(600, 3);
    expect(counts()).toBe('1 2 0');
    pool.advanceTo(1000);
    // The one ordered at 0 came; the one ordered at 500 was paid for 100 ms and never came.
    expect(counts()).toBe('0 3 0');
    expect(pool.paidMs).toBe(3 * 1000 + 100);
    pool.advanceTo(1500);
    expect(counts()).toBe('0 3 0');
    pool.order(1500, 1);
    expect(counts()).toBe('0 1 0');
  });

  test('the least busy worker drains', () => {
    const { pool, counts } = poolOf({ slotsPerWorker: 2 });
    pool.begin(2);
    pool.arrive(0, 100);
    pool.arrive(0, 100);
    pool.arrive(0, 100);
    pool.arrive(0, 50);
    pool.advanceTo(60);
    pool.order(60, 1);
    expect(counts()).toBe('0 1 1');
    // Its one request ends; the freed slots take nothing new.
    pool.arrive(70, 10);
    expect(pool.backlog).toBe(1);
    pool.finish();
    expect(counts()).toBe('0 1 0');
  });

  test('a full queue rejects', () => {
    const { pool } = poolOf({ maxQueued: 2 });
    expect([0, 0, 0].map((atMs) => pool.arrive(atMs, 1))).toEqual([true, true, false]);
  });

  test('long queues are kept in order', () => {
    const { pool, ended } = poolOf({ maxQueued: Infinity });
    pool.begin(1);
    for (let i = 0; i < 25_000; i++) pool.arrive(i / 1000, 1);
    pool.finish();
    expect(ended.length).toBe(25_000);
    expect(ended.every(({ arrivedMs }, i) => i === 0 || arrivedMs > (ended[i - 1]?.arrivedMs ?? 0))).toBe(
      true,
    );
  });

  test('the agenda gives events by time, equal times in the order they came', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 })), (times) => {
        const agenda = new Agenda<number>();
        times.forEach((atMs, i) => agenda.add(atMs, i));
        const taken: number[] = [];
        while (agenda.nextAtMs < Infinity) taken.push(agenda.take());
        const byTime = times.map((_, i) => i).sort((a, b) => (times[a] as number) - (times[b] as number));
        expect(taken).toEqual(byTime);
      }),
    );
  });

  test('lognormal draws have the mean and the spread that were asked for', () => {
    const random = createRandom(3);
    const draws = Array.from({ length: 50_000 }, () => drawLognormal({ mean: 20, cv: 0.5 }, random));
    const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
    const deviation = Math.sqrt(draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length);
    // Standard error of the mean: 10 ÷ √50,000 = .045; four of them.
    expect(Math.abs(mean - 20)).toBeLessThan(0.18);
    expect(deviation / mean).toBeCloseTo(0.5, 1);
    expect(drawLognormal({ mean: 7, cv: 0 }, random)).toBe(7);
  });
});
