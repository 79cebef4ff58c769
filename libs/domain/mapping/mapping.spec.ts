import { expect, test } from '@jest/globals';
import { mappingSchema } from './mapping.js';

const least = { execution: '{id}', pool: 'etl', status: 'completed', times: { endedAt: 'at' } };

test('the least that a mapping must say', () => {
  expect(mappingSchema.safeParse(least).success).toBe(true);
  for (const key of Object.keys(least))
    expect(mappingSchema.safeParse({ ...least, [key]: undefined }).success).toBe(false);
});

test.each([
  { execution: '{id' },
  { execution: 'id}' },
  { execution: '{a b}' },
  { execution: '{{id}}' },
  { execution: '{}' },
  { execution: '{a}'.repeat(9) },
  { execution: [] },
  { execution: Array(9).fill('{id}') },
  { pool: { text: '{q}', values: { Q: 'Not A Pool' } } },
  { status: 'done' },
  { status: { text: '{s}', values: { ok: 'done' } } },
  { status: [] },
  { status: [{ phase: 'queued', when: { path: 'a' } }] },
  { times: {} },
  { times: { unit: 'iso' } },
  { times: { at: { path: 'at', unit: 'min' } } },
  { times: { at: { path: 'at', plus: { path: 'd', unit: 'iso' } } } },
  { each: '..' },
  { attempt: { path: 'n', plus: 2 } },
  { ignore: [{ when: [], why: 'nothing' }] },
  { ignore: [{ when: { path: 'a', exists: true } }] },
  { nonsense: 1 },
])('refused: %j', (change) => {
  expect(mappingSchema.safeParse({ ...least, ...change }).success).toBe(false);
});
