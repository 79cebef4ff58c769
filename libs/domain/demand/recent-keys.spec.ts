import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { RecentKeys } from './recent-keys.js';

/** What it must behave like. */
class Model {
  readonly told = new Map<string, number>();
  get size(): number {
    return this.told.size;
  }
  has(key: string): boolean {
    return this.told.has(key);
  }
  tell(key: string, atMs: number): void {
    this.told.delete(key);
    this.told.set(key, atMs);
  }
  forget(beforeMs: number, maxKeys: number): { early: number; toMs: number } {
    let [early, toMs] = [0, -Infinity];
    for (const [key, atMs] of this.told) {
      if (atMs > beforeMs && this.told.size <= maxKeys) break;
      if (atMs > beforeMs) early++;
      toMs = atMs;
      this.told.delete(key);
    }
    return { early, toMs };
  }
}

const key = fc.oneof(
  fc.nat(300).map((n) => `web/execution-${n}/1`),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const command = fc.oneof(
  { weight: 10, arbitrary: fc.record({ key, afterMs: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ forgetMs: fc.nat(100), maxKeys: fc.constantFrom(0, 10, 100, 1000) }) },
);

test('it knows what a map would know, whatever is told, told again and forgotten', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 600, size: 'max' }), (commands) => {
      const [keys, model] = [new RecentKeys(), new Model()];
      const [answers, expected] = [keys, model].map((told) => {
        let nowMs = 0;
        return commands.map((one) => {
          if ('forgetMs' in one) return [told.forget(nowMs - one.forgetMs, one.maxKeys), told.size];
          nowMs += one.afterMs;
          const knew = told.has(one.key);
          told.tell(one.key, nowMs);
          return [knew, told.size];
        });
      });
      expect(answers).toEqual(expected);
      expect([...keys.told()].map(([, toldMs]) => toldMs)).toEqual([...model.told.values()]);
      expect([...model.told.keys()].filter((known) => !keys.has(known))).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

test('ids that look alike have a hash each', () => {
  const COUNT = 100_000;
  const keys = new RecentKeys();
  for (let i = 0; i < COUNT; i++) keys.tell(`web/execution-${i}/1`, i);
  expect(keys.size).toBe(COUNT);
  expect(new Set([...keys.told()].map(([hash]) => hash.split(',')[0])).size).toBeGreaterThan(0.999 * COUNT);
  expect(keys.forget(COUNT - 2, Infinity)).toEqual({ early: 0, toMs: COUNT - 2 });
  expect([...keys.told()].map(([, toldMs]) => toldMs)).toEqual([COUNT - 1]);
});

test.each([
  ['', '\0'],
  ['a', 'a\0'],
  ['ab', 'ba'],
  ['abcdefgh', 'abcdefgh\0\0'],
  ['web/1/1', 'web/1/11'],
])('%j is not %j', (one, other) => {
  const keys = new RecentKeys();
  keys.tell(one, 1);
  expect([keys.has(one), keys.has(other)]).toEqual([true, false]);
});
