import type { Expert } from './outlook.js';

/** The mean of the last buckets goes on: less noise than the last value, more delay. */
export const movingMean: Expert = {
  name: 'mean',
  reactive: true,
  point: ({ level }) => level,
};
