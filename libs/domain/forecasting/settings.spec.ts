import { expect, test } from '@jest/globals';
import { learnedBuckets, MAX_SEASON_BUCKETS } from './settings.js';

const DAY_S = 86_400;

test('a memory is given a few of the longest season that fits', () => {
  expect(learnedBuckets({ bucketS: 10, seasonsS: [DAY_S] })).toBe(36_288);
  expect(learnedBuckets({ bucketS: 10, seasonsS: [DAY_S, 7 * DAY_S] })).toBe(254_016);
  // A week of seconds is left out, a day of them is learned.
  expect(learnedBuckets({ bucketS: 1, seasonsS: [DAY_S, 7 * DAY_S] })).toBe(362_880);
  expect(learnedBuckets({ bucketS: 1, seasonsS: [7 * DAY_S] })).toBe(6_048);
  expect(learnedBuckets({ bucketS: 1, seasonsS: [MAX_SEASON_BUCKETS] })).toBe(420_000);
});
