import { describe, expect, test } from '@jest/globals';
import { parsePath, valueAt } from './path.js';

const record = {
  job: { id: 7, 'a.b': 'dotted', runs: [{ at: 1 }, { at: 2 }] },
  constructor: 'a field',
};
const at = (text: string, element: unknown = record) =>
  valueAt(parsePath(text)!, { element, record, about: { topic: 'jobs', parts: ['bull', 'mail', 'events'] } });

describe('paths', () => {
  test.each([
    ['job.id', 7],
    ['job["a.b"]', 'dotted'],
    ['["job"].id', 7],
    ['job.runs[1].at', 2],
    ['job.runs[-2].at', 1],
    ['@.topic', 'jobs'],
    ['@.parts[-2]', 'mail'],
    ['$', record],
    ['constructor', 'a field'],
    ['job.missing.deeper', undefined],
    ['job.runs[2].at', undefined],
    ['job.runs.at', undefined],
    ['job.id.toFixed', undefined],
    ['job.toString', undefined],
    ['job.runs.length', undefined],
    ['job.__proto__', undefined],
  ])('%s', (text, expected) => {
    expect(at(text)).toEqual(expected);
  });

  test('start at the element, unless they say that they start at the whole record', () => {
    expect(at('at', record.job.runs[1])).toBe(2);
    expect(at('$.job.id', record.job.runs[1])).toBe(7);
    expect(at('[0].at', record.job.runs)).toBe(1);
  });

  test.each([
    '',
    '.',
    '.a',
    'a.',
    'a..b',
    'a[b]',
    'a[',
    '[1',
    'a b',
    '$a',
    '@id',
    '{a}',
    'a["x]',
    'a.'.repeat(16) + 'a',
  ])('not a path: %j', (text) => {
    expect(parsePath(text)).toBeUndefined();
  });
});
