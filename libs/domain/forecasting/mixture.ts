// Weights of the experts at one horizon: exponential in their excess loss (Cesa-Bianchi & Lugosi, Prediction, Learning,
// and Games, 2006, ch. 2), relative to the best one so that the scale of the pool does not matter.

/** 3 % more loss than the best expert leaves e⁻¹ of its weight. */
const ETA = 30;
/** Loss halves in this many seasons, but not before so many buckets: fewer outcomes are luck. */
const HALF_LIFE_SEASONS = 0.5;
const MIN_HALF_LIFE_BUCKETS = 60;
/** When an expert joins, what is known of the others is cut down to this weight: they compete from here on. */
const JOIN_BUCKETS = 30;

/** Discounted pinball loss per expert; weight 0: it has not been scored yet. */
export interface LossMemory {
  sums: Float64Array;
  weights: Float64Array;
}

export function newLosses(experts: number): LossMemory {
  return { sums: new Float64Array(experts), weights: new Float64Array(experts) };
}

/** Takes the losses of one outcome, in place; NaN: that expert had no forecast of it. */
export function updateLosses(losses: LossMemory, latest: Float64Array, seasonBuckets: number): void {
  const keep = 0.5 ** (1 / Math.max(HALF_LIFE_SEASONS * seasonBuckets, MIN_HALF_LIFE_BUCKETS));
  const { sums, weights } = losses;
  if (latest.some((loss, expert) => loss === loss && weights[expert] === 0))
    startCommonPeriod(losses, latest);
  latest.forEach((loss, expert) => {
    if (Number.isNaN(loss)) return;
    sums[expert] = keep * (sums[expert] as number) + loss;
    weights[expert] = keep * (weights[expert] as number) + 1;
  });
}

/** A newcomer starts at the mean of those before it. */
function startCommonPeriod({ sums, weights }: LossMemory, latest: Float64Array): void {
  let [mean, scored] = [0, 0];
  sums.forEach((sum, expert) => {
    const weight = weights[expert] as number;
    if (weight === 0) return;
    const kept = Math.min(weight, JOIN_BUCKETS);
    sums[expert] = (sum * kept) / weight;
    weights[expert] = kept;
    mean += sum / weight;
    scored++;
  });
  if (scored === 0) return;
  latest.forEach((loss, expert) => {
    if (Number.isNaN(loss) || weights[expert] !== 0) return;
    sums[expert] = (mean / scored) * JOIN_BUCKETS;
    weights[expert] = JOIN_BUCKETS;
  });
}

/** Fills `weights` (sum 1) over the experts that may speak; those never scored count as the best one. */
export function mixtureWeights(
  weights: Float64Array,
  losses: LossMemory,
  speaks: (expert: number) => boolean,
): void {
  const best = leastLoss(losses, speaks);
  let sum = 0;
  for (let expert = 0; expert < weights.length; expert++) {
    const weight = speaks(expert) ? Math.exp(-ETA * excess(lossOf(losses, expert) ?? best, best)) : 0;
    weights[expert] = weight;
    sum += weight;
  }
  for (let expert = 0; expert < weights.length; expert++) weights[expert] = (weights[expert] as number) / sum;
}

function leastLoss(losses: LossMemory, speaks: (expert: number) => boolean): number {
  let least = Infinity;
  for (let expert = 0; expert < losses.sums.length; expert++) {
    if (speaks(expert)) least = Math.min(least, lossOf(losses, expert) ?? Infinity);
  }
  return least;
}

function lossOf({ sums, weights }: LossMemory, expert: number): number | undefined {
  const weight = weights[expert] as number;
  return weight === 0 ? undefined : (sums[expert] as number) / weight;
}

/** Relative to the best; two perfect ones (a constant series) are equal. */
function excess(loss: number, best: number): number {
  return loss === best ? 0 : (loss - best) / Math.max(best, Number.MIN_VALUE);
}
