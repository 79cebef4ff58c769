import type { Random } from './random.js';

/** A distribution of positive numbers by its mean and its coefficient of variation (standard deviation ÷ mean). */
export interface Spread {
  mean: number;
  cv: number;
}

/** Time to the next event of a Poisson process, in the unit of 1/rate. */
export function drawExponential(rate: number, random: Random): number {
  return -Math.log(1 - random()) / rate;
}

/** Lognormal with that mean and cv; the mean itself when cv is 0. */
export function drawLognormal({ mean, cv }: Spread, random: Random): number {
  const variance = Math.log1p(cv * cv);
  return mean * Math.exp(Math.sqrt(variance) * drawNormal(random) - variance / 2);
}

/** Box & Muller (1958), one of the pair: two draws each time keep the sequence simple. */
function drawNormal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
