import { describe, expect, test } from '@jest/globals';
import { anything, assert, property } from 'fast-check';
import { z } from 'zod';
import { checkInput, cutBelow, formatProblem, isDeeperThan, nearestKey } from './index.js';

const pool = z.strictObject({
  bucketS: z.number().int().min(1),
  mode: z.enum(['observe', 'predictive']).optional(),
  seasonsS: z.array(z.number().multipleOf(5)).max(2).optional(),
  title: z.string().max(3).optional(),
});
const tree = z
  .strictObject({
    pools: z.record(z.string().regex(/^[a-z]+$/, 'lower-case letters'), pool).optional(),
    port: z.number().lt(9).gt(1).optional(),
  })
  .refine((t) => t.port !== 7, { path: ['port'], message: 'not 7' });

function texts(value: unknown): string[] {
  const checked = checkInput(tree, value);
  return checked.ok ? [] : checked.problems.map(formatProblem);
}

describe('checkInput', () => {
  test('a valid value comes back parsed', () => {
    expect(checkInput(tree, { pools: {} })).toEqual({ ok: true, value: { pools: {} } });
  });

  test.each([
    [
      { pools: { web: { bucketS: 1, bukketS: 2 } } },
      'pools.web.bukketS: must be a known key (did you mean bucketS?), got "bukketS"',
    ],
    [{ zzz: 1 }, 'zzz: must be a known key (valid keys are pools, port), got "zzz"'],
    [{ pools: { web: {} } }, 'pools.web.bucketS: must be a number, got nothing'],
    [{ pools: { web: { bucketS: 1.5 } } }, 'pools.web.bucketS: must be an integer, got 1.5'],
    [{ pools: { web: { bucketS: Number.NaN } } }, 'pools.web.bucketS: must be a number, got NaN'],
    [{ pools: { web: { bucketS: 0 } } }, 'pools.web.bucketS: must be ≥ 1, got 0'],
    [
      { pools: { web: { bucketS: 1, mode: 'off' } } },
      'pools.web.mode: must be "observe" or "predictive", got "off"',
    ],
    [
      { pools: { web: { bucketS: 1, seasonsS: [5, 7] } } },
      'pools.web.seasonsS[1]: must be a multiple of 5, got 7',
    ],
    [
      { pools: { web: { bucketS: 1, seasonsS: [5, 5, 5] } } },
      'pools.web.seasonsS: must be ≤ 2 items, got [5,5,5]',
    ],
    [
      { pools: { web: { bucketS: 1, title: 'long' } } },
      'pools.web.title: must be ≤ 3 characters, got "long"',
    ],
    [
      { pools: { WEB: { bucketS: 1 } } },
      'pools.WEB: key must be valid: lower-case letters, got {"bucketS":1}',
    ],
    [{ port: 9 }, 'port: must be < 9, got 9'],
    [{ port: 1 }, 'port: must be > 1, got 1'],
    [{ port: 7 }, 'port: must hold: not 7, got 7'],
    [{ pools: [] }, 'pools: must be a map, got []'],
    [null, '(root): must be an object, got null'],
  ])('%j', (value, text) => {
    expect(texts(value)).toEqual([text]);
  });

  describe('of several allowed forms the one that was meant is named', () => {
    const unit = z.enum(['s', 'ms']);
    const time = z.union([z.string().min(2), z.strictObject({ path: z.string(), unit: unit.optional() })]);
    const form = z.strictObject({ at: z.union([time, z.array(time).min(1)]) });
    test.each([
      [{ at: { path: 'x', unit: 'min' } }, 'at.unit: must be "s" or "ms", got "min"'],
      [{ at: { path: 'x', unitt: 's' } }, 'at.unitt: must be a known key (did you mean unit?), got "unitt"'],
      [{ at: ['ok', { path: 1 }] }, 'at[1].path: must be a string, got 1'],
      [{ at: [] }, 'at: must be ≥ 1 items, got []'],
      [{ at: 'x' }, 'at: must be ≥ 2 characters, got "x"'],
      [{ at: 7 }, 'at: must hold: Invalid input, got 7'],
    ])('%j', (value, text) => {
      const checked = checkInput(form, value);
      expect(checked.ok ? [] : checked.problems.map(formatProblem)).toEqual([text]);
    });
  });

  test('keys, maps and sets are counted in their own words', () => {
    const checked = checkInput(z.set(z.number()).min(1), new Set());
    expect(checked).toMatchObject({ problems: [{ rule: 'must be ≥ 1 items' }] });
    expect(checkInput(z.map(z.string(), z.number()).min(1), new Map())).toMatchObject({
      problems: [{ rule: 'must be ≥ 1 keys' }],
    });
  });

  test('the number of problems and the length of each are bounded', () => {
    const checked = checkInput(
      z.array(z.number()),
      Array.from({ length: 500 }, () => 'x'.repeat(500)),
    );
    expect(checked).toMatchObject({ ok: false });
    if (checked.ok) return;
    expect(checked.problems).toHaveLength(50);
    expect(checked.problems[0]!.actual).toHaveLength(80);
  });

  test('a password in a url is not shown, also where the url is cut', () => {
    const schema = z.strictObject({ url: z.never(), more: z.number() });
    const url = `amqp://user:p@ss/w:rd@${'h'.repeat(90)}`;
    const checked = checkInput(schema, { url, more: { list: [url] } });
    const text = JSON.stringify(checked);
    expect(text).not.toMatch(/p@ss|rd@/);
    expect(text).toContain('amqp://user:***@hhh');
    expect(checkInput(z.number(), 'http://host:80/path')).toMatchObject({
      problems: [{ actual: '"http://host:80/path"' }],
    });
  });

  test('a value deeper than the stack is shown in part', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(15_000)}${']'.repeat(15_000)}`);
    expect(texts(deep)).toEqual([`(root): must be an object, got ${'['.repeat(79)}…`]);
    expect(texts({ port: deep })[0]).toMatch(/^port: must be a number, got \[\[/);
  });

  test('never throws, whatever comes in', () => {
    assert(property(anything(), (value) => expect(typeof checkInput(tree, value).ok).toBe('boolean')));
  });
});

describe('depth', () => {
  test.each([
    [1, 0, false],
    [[], 0, true],
    [{ a: [] }, 2, false],
    [{ a: [1, { b: 1 }] }, 2, true],
  ])('%j is deeper than %i: %s', (value, levels, deeper) => {
    expect(isDeeperThan(value, levels)).toBe(deeper);
    expect(isDeeperThan(cutBelow(value, levels), levels)).toBe(false);
  });

  test('what is above the cut stays', () => {
    expect(cutBelow({ a: [1, { b: 1 }], c: null }, 2)).toEqual({ a: [1, '…'], c: null });
  });
});

describe('nearestKey', () => {
  test.each([
    ['buckets', 'bucketS'],
    ['sesonsS', 'seasonsS'],
    ['handler', 'handlers'],
    ['colour', undefined],
  ])('%s → %s', (key, nearest) => {
    expect(nearestKey(key, ['bucketS', 'seasonsS', 'handlers'])).toBe(nearest);
  });
});
