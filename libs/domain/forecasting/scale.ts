/**
 * Everything inside is computed on √arrivals. There a Poisson count spreads by ½ whatever its mean, zero is a number
 * like any other, and a burst of 30× is one of 5.5×; log1p does worse below some 50 arrivals a bucket.
 */
export const toRoot = (arrivals: number) => Math.sqrt(arrivals);
export const fromRoot = (root: number) => root * root;

/** Larger counts are taken as this one: above it single-precision roots lose whole arrivals. */
export const MAX_ARRIVALS = 1e14;

/** A count as it was reported; NaN, the mark of a missing bucket, when it is none. */
export function rootOfReported(arrivals: number | null): number {
  if (arrivals === null || !(arrivals >= 0)) return NaN;
  return toRoot(Math.min(arrivals, MAX_ARRIVALS));
}

/** Relative error of rates where it takes over from counting noise: at 1 ÷ this², 400 arrivals a bucket. */
const RELATIVE_NOISE = 0.05;

/**
 * How far √arrivals spreads around a level, up to a constant: counting noise is even in √y, noise of the rate grows with
 * it. (Variance φ·y + c²·y² of y is φ/4 + c²·y/4 of √y.)
 */
export function noiseAt(root: number): number {
  return Math.sqrt(1 + (RELATIVE_NOISE * root) ** 2);
}
