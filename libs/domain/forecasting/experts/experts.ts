import type { Layout } from '../settings.js';
import { dampedHolt } from './damped-holt.js';
import { lastValue } from './last-value.js';
import { movingMean } from './moving-mean.js';
import type { Expert } from './outlook.js';
import { ridge } from './ridge.js';
import { seasonalNaive } from './seasonal-naive.js';
import { seasonalShape } from './seasonal-shape.js';

/** The experts of a pool, in the order in which memory keeps them. */
export function expertsOf({ seasons }: Layout): Expert[] {
  return [
    lastValue,
    movingMean,
    dampedHolt,
    ...seasons.map(seasonalNaive),
    ...seasons.map(seasonalShape),
    ridge(seasons),
  ];
}
