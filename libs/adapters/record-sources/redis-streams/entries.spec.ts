import { expect, test } from '@jest/globals';
import { claimedIn } from './entries.js';

test('entries that were trimmed away while they were held: Redis 6.2 gives nils, Redis 7 a list of their ids', () => {
  const entry = ['2-0', ['n', '2']];
  const claimed = { next: '3-0', entries: [entry] };
  expect(claimedIn(['3-0', [null, entry, null]])).toEqual(claimed);
  expect(claimedIn(['3-0', [entry], ['1-0', '4-0']])).toEqual(claimed);
});
