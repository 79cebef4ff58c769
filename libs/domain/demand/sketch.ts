/**
 * A mergeable quantile sketch of non-negative values (DDSketch: Masson, Rim & Lee, VLDB 2019). Plain JSON.
 * `bins[i]` counts values in (γ^(i+offset−1), γ^(i+offset)], γ = 1.01/0.99, so that every quantile is within 1 % of
 * the true value. `zeros` counts values below {@link SMALLEST}.
 */
export interface Sketch {
  count: number;
  sum: number;
  zeros: number;
  offset: number;
  bins: number[];
}

/** Relative error of a quantile. */
export const RELATIVE_ERROR = 0.01;
const GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);
const LN_GAMMA = Math.log(GAMMA);

/** Smaller values count as zero: a thousandth of a millisecond is no latency. */
export const SMALLEST = 1e-3;
/** Larger values count as this: eleven days in milliseconds. */
export const LARGEST = 1e9;
/** SMALLEST … LARGEST in steps of γ: a sketch cannot have more bins. */
export const MAX_BINS = Math.ceil(Math.log(LARGEST / SMALLEST) / LN_GAMMA) + 1;

export function emptySketch(): Sketch {
  return { count: 0, sum: 0, zeros: 0, offset: 0, bins: [] };
}

/** What another process wrote: a sketch, with bins where there can be any. */
export function isSketch({ count, sum, zeros, offset, bins }: Sketch): boolean {
  const isPlaced = Number.isInteger(offset) && Math.abs(offset) <= MAX_BINS && bins.length <= MAX_BINS;
  return isPlaced && [count, sum, zeros, ...bins].every(Number.isFinite);
}

/** Adds to an own sketch, in place. False, and nothing added: the value is no number or negative. */
export function addToSketch(sketch: Sketch, value: number): boolean {
  if (!(value >= 0) || value === Infinity) return false;
  sketch.count++;
  sketch.sum += value;
  if (value < SMALLEST) sketch.zeros++;
  // + 0: Math.ceil gives −0 just below 1, which JSON turns into 0.
  else addToBin(sketch, Math.ceil(Math.log(Math.min(value, LARGEST)) / LN_GAMMA) + 0, 1);
  return true;
}

/** Adds a value so many times, which need not be a whole number, in place. Nothing is added that is none. */
export function addManyToSketch(sketch: Sketch, value: number, count: number): void {
  const one = emptySketch();
  if (!(count > 0) || count === Infinity || !addToSketch(one, value)) return;
  fadeSketch(one, count);
  mergeInto(sketch, one);
}

/** Adds `from` to an own sketch, in place. The order of merges does not matter. */
export function mergeInto(sketch: Sketch, from: Sketch): void {
  sketch.count += from.count;
  sketch.sum += from.sum;
  sketch.zeros += from.zeros;
  from.bins.forEach((count, i) => count > 0 && addToBin(sketch, i + from.offset, count));
}

/** Every value weighs `keepRatio` of what it did: what is added from now on counts for more. */
export function fadeSketch(sketch: Sketch, keepRatio: number): void {
  sketch.count *= keepRatio;
  sketch.sum *= keepRatio;
  sketch.zeros *= keepRatio;
  sketch.bins = sketch.bins.map((count) => count * keepRatio);
}

/** The value below which a share q of the values lies, ± 1 %; undefined when there are none. */
export function sketchQuantile(sketch: Sketch, q: number): number | undefined {
  if (sketch.count === 0) return undefined;
  const rank = q * (sketch.count - 1);
  let below = sketch.zeros;
  if (rank < below) return 0;
  for (let i = 0; i < sketch.bins.length; i++) {
    below += sketch.bins[i] as number;
    if (rank < below) return binValue(i + sketch.offset);
  }
  return binValue(sketch.offset + sketch.bins.length - 1);
}

export function sketchMean(sketch: Sketch): number | undefined {
  return sketch.count === 0 ? undefined : sketch.sum / sketch.count;
}

/** Middle of a bin in relative terms: at most 1 % from every value in it. */
function binValue(index: number): number {
  return (2 * GAMMA ** index) / (GAMMA + 1);
}

function addToBin(sketch: Sketch, index: number, count: number): void {
  const { bins } = sketch;
  if (bins.length === 0) sketch.offset = index;
  while (index < sketch.offset) {
    bins.unshift(0);
    sketch.offset--;
  }
  while (index >= sketch.offset + bins.length) bins.push(0);
  bins[index - sketch.offset] = (bins[index - sketch.offset] as number) + count;
}
