import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { RecentKeys } from './recent-keys.js';

/** What it must behave like. */
class Model {
  readonly told = new Map<string, number>();
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
    fc.property(fc.array(command, { maxLength: 1_500, size: 'max' }), (commands) => {
      const [keys, model] = [new RecentKeys(), new Model()];
      let nowMs = 0;
      for (const one of commands) {
        const answers = [keys, model].map((told) => {
          if ('forgetMs' in one) return told.forget(nowMs - one.forgetMs, one.maxKeys);
          const knew = told.has(one.key);
          told.tell(one.key, nowMs + one.afterMs);
          return knew;
        });
        nowMs += 'afterMs' in one ? one.afterMs : 0;
        expect(answers[0]).toEqual(answers[1]);
        expect(keys.size).toBe(model.told.size);
      }
      expect([...keys.told()].map(([, toldMs]) => toldMs)).toEqual([...model.told.values()]);
      for (const known of model.told.keys()) expect(keys.has(known)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('a million ids that look alike have a million hashes', () => {
  const keys = new RecentKeys();
  for (let i = 0; i < 1_000_000; i++) keys.tell(`web/execution-${i}/1`, i);
  expect(keys.size).toBe(1_000_000);
  expect(new Set([...keys.told()].map(([hash]) => hash.split(',')[0])).size).toBeGreaterThan(999_000);
  expect(keys.forget(999_998, Infinity)).toEqual({ early: 0, toMs: 999_998 });
  expect([...keys.told()].map(([, toldMs]) => toldMs)).toEqual([999_999]);
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
