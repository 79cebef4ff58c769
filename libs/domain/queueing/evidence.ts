/** Of fewer samples nothing is said: the first ones are those of workers that are not warm. */
const LEAST_SAMPLES = 30;
/** More samples say no more than so many: what is asked of them has its answer by then. */
const MOST_SAMPLES = 10_000;
/** Chance of a wrong "sure" where the true share is just what is allowed. */
const ERROR_RATIO = 0.01;

/**
 * Whether samples prove that more than the allowed share is over: the one-sided 99 % lower bound of Clopper & Pearson,
 * "The use of confidence or fiducial limits illustrated in the case of the binomial" (Biometrika 26, 1934), is above it.
 */
export function isSurelyOver(
  { share, samples }: { share: number; samples: number },
  allowed: number,
): boolean {
  if (!(samples >= LEAST_SAMPLES)) return false;
  const trials = Math.floor(Math.min(samples, MOST_SAMPLES));
  // Counts may be fractions; what rounding takes away is not evidence.
  const hits = Math.floor(share * trials + 1e-9);
  return hits > allowed * trials && atLeast(hits, { trials, chance: allowed }) < ERROR_RATIO;
}

/** P(binomial ≥ hits) for hits above the mean: the terms fall from the first one on. */
function atLeast(hits: number, { trials, chance }: { trials: number; chance: number }): number {
  const odds = chance / (1 - chance);
  let log = trials * Math.log1p(-chance);
  for (let i = 1; i <= hits; i++) log += Math.log(((trials - i + 1) / i) * odds);
  let term = Math.exp(log);
  let sum = 0;
  for (let i = hits; i <= trials && term > sum * Number.EPSILON; i++) {
    sum += term;
    term *= ((trials - i) / (i + 1)) * odds;
  }
  return sum;
}
