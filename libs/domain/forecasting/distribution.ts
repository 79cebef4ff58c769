/** Quantiles of arrivals at levels: `levels` strictly increasing in (0, 1), `values` non-decreasing, ≥ 0. */
export interface Quantiles {
  levels: readonly number[];
  values: readonly number[];
}

/**
 * P(arrivals ≤ y), in [0, 1]: linear between the levels in √y (where counts have an even spread), from 0 at y = 0 up to
 * the first level, and with an exponential tail (in √y) beyond the last one. Equal values are a jump: all of it counts.
 */
export function probabilityAtMost(quantiles: Quantiles, arrivals: number): number {
  const { levels, values } = quantiles;
  if (!(arrivals >= 0)) return 0;
  const above = values.findIndex((value) => value > arrivals);
  if (above === -1) return tailProbability(quantiles, arrivals);
  const [fromLevel, fromRoot] = above === 0 ? [0, 0] : [at(levels, above - 1), root(values, above - 1)];
  const share = (Math.sqrt(arrivals) - fromRoot) / (root(values, above) - fromRoot);
  return fromLevel + share * (at(levels, above) - fromLevel);
}

/** The least y with P(arrivals ≤ y) ≥ q: the inverse of {@link probabilityAtMost}. Infinite at q = 1 if the tail is. */
export function quantileAt(quantiles: Quantiles, q: number): number {
  const { levels, values } = quantiles;
  const next = levels.findIndex((level) => level >= q);
  if (next === -1) return tailQuantile(quantiles, q);
  const [fromLevel, fromRoot] = next === 0 ? [0, 0] : [at(levels, next - 1), root(values, next - 1)];
  const share = Math.max(0, (q - fromLevel) / (at(levels, next) - fromLevel));
  return (fromRoot + share * (root(values, next) - fromRoot)) ** 2;
}

/** The tail goes on as the last two levels began it: their distance is ln((1 − a) ÷ (1 − b)) of its mean lengths. */
function tailOf({ levels, values }: Quantiles): { level: number; root: number; meanRoot: number } {
  const last = levels.length - 1;
  const level = at(levels, last);
  if (last === 0) return { level, root: root(values, 0), meanRoot: 0 };
  const lengths = Math.log((1 - at(levels, last - 1)) / (1 - level));
  const meanRoot = (root(values, last) - root(values, last - 1)) / lengths;
  return { level, root: root(values, last), meanRoot };
}

function tailProbability(quantiles: Quantiles, arrivals: number): number {
  const tail = tailOf(quantiles);
  const beyond = Math.sqrt(arrivals) - tail.root;
  if (beyond <= 0) return tail.level;
  if (tail.meanRoot === 0) return 1;
  return 1 - (1 - tail.level) * Math.exp(-beyond / tail.meanRoot);
}

function tailQuantile(quantiles: Quantiles, q: number): number {
  const tail = tailOf(quantiles);
  if (tail.meanRoot === 0) return tail.root ** 2;
  return (tail.root + tail.meanRoot * Math.log((1 - tail.level) / (1 - q))) ** 2;
}

const at = (numbers: readonly number[], index: number) => numbers[index] as number;
const root = (values: readonly number[], index: number) => Math.sqrt(at(values, index));
