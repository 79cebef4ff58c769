import { expect, test } from '@jest/globals';
import { BATCH_BYTES, sendsOf, sizeOf, type Outgoing } from './sends.js';

const record = (given: Partial<Outgoing> = {}): Outgoing => {
  const made = { topic: 't', partition: 0, key: 'k', value: 'v', maxBatchBytes: 1_000, ...given };
  return { bytes: sizeOf(made), ...made };
};
const valuesOf = (records: Outgoing[]) =>
  [...sendsOf(records)].map((send) => send.flatMap(({ messages }) => messages.map(({ value }) => value)));

test('records of a partition go into the next send when their batch is full, and keep their order', () => {
  const value = 'x'.repeat(400);
  const records = [1, 2, 3, 4].map((n) => record({ value: `${n}${value}` }));
  const sends = valuesOf(records);
  expect(sends.map((send) => send.length)).toEqual([2, 2]);
  expect(sends.flat().map((text) => String(text)[0])).toEqual(['1', '2', '3', '4']);
});

test('partitions share a send; at most a thousand records of one are in it', () => {
  const wide = { maxBatchBytes: 1_000_000 };
  const two = [0, 1].flatMap((partition) =>
    Array.from({ length: 700 }, () => record({ partition, ...wide })),
  );
  expect(valuesOf(two).map((send) => send.length)).toEqual([1_400]);
  const one = Array.from({ length: 2_500 }, () => record(wide));
  expect(valuesOf(one).map((send) => send.length)).toEqual([1_000, 1_000, 500]);
});

test('a send has a bound of its own', () => {
  const value = 'x'.repeat(1_000_000);
  const records = Array.from({ length: 20 }, (_, partition) =>
    record({ partition, value, maxBatchBytes: 2e6 }),
  );
  expect(Math.max(...valuesOf(records).map((send) => send.length))).toBe(8);
});

test('the size counts bytes, headers and what the batch adds; a tombstone has no value', () => {
  expect(sizeOf({ key: 'ä', value: '€' })).toBe(32 + 2 + 3);
  expect(sizeOf({ key: 'k', value: null })).toBe(32 + 1);
  expect(sizeOf({ key: 'k', value: '', headers: { a: 'bc' } })).toBe(32 + 1 + 10 + 3);
  const fits = record({ maxBatchBytes: BATCH_BYTES + sizeOf(record()) });
  expect(valuesOf([fits, fits])).toEqual([['v'], ['v']]);
  expect(valuesOf([])).toEqual([]);
});
