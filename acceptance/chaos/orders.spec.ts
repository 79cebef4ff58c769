import { expect, test } from '@jest/globals';
import { ordersWithoutRecord } from './orders.js';

const scale = (previousDesired: number, desired: number) =>
  ({ kind: 'scale', pool: 'web', previousDesired, desired }) as const;
const hold = (desired: number) => ({ kind: 'hold', pool: 'web', previousDesired: desired, desired }) as const;
const order = (desired: number, unseen = false) => ({ pool: 'web', desired, unseen });

test('each change has a record of its own, in the same order', () => {
  const recorded = [hold(1), scale(1, 2), hold(2), scale(2, 1), scale(1, 2)];
  expect(ordersWithoutRecord([order(1, true), order(2), order(1), order(2)], recorded)).toEqual([]);
});

test('a change that only what followed it tells has none', () => {
  expect(ordersWithoutRecord([order(1, true), order(2)], [hold(1), hold(2)])).toEqual([order(2)]);
  const once = [hold(1), scale(1, 2), scale(2, 1), hold(1)];
  expect(ordersWithoutRecord([order(1, true), order(2), order(1), order(2)], once)).toEqual([order(2)]);
});

test('a fleet that starts anew is brought to a number that was recorded', () => {
  const recorded = [scale(1, 3), hold(3), scale(3, 4)];
  expect(ordersWithoutRecord([order(3, true), order(4)], recorded)).toEqual([]);
  expect(ordersWithoutRecord([order(5, true)], recorded)).toEqual([order(5, true)]);
});

test('another pool’s records do not count', () => {
  expect(ordersWithoutRecord([{ pool: 'mail', desired: 3, unseen: false }], [scale(1, 3)])).toHaveLength(1);
});
