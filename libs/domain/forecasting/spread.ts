import { LEVELS } from './forecast.js';
import { noiseAt } from './scale.js';

// How wrong an expert was lately, at one horizon: errors of √arrivals, divided by the noise at its point and by their own
// recent size, are counted in a histogram that forgets. Its quantiles times the size are the expert's spread now.
//
//   error ÷ (noise(point) · size) → asinh → BINS equal bins over ±asinh(MAX_ERROR)

const BINS = 64;
/** Errors beyond this many sizes count as this many. */
const MAX_ERROR = 50;
const BIN_WIDTH = (2 * Math.asinh(MAX_ERROR)) / BINS;
const EDGES = Float64Array.from({ length: BINS + 1 }, (_, i) => Math.sinh((i - BINS / 2) * BIN_WIDTH));

/** Errors the histogram starts with, spread as Laplace: wide until there are real ones, then hardly there. */
const PRIOR_ERRORS = 8;
const PRIOR = Float64Array.from(
  { length: BINS },
  (_, i) => PRIOR_ERRORS * (laplace(EDGES[i + 1] as number) - laplace(EDGES[i] as number)),
);

/** Mean error before the first one is known, in noise: counting noise alone gives 0.4. */
const PRIOR_SIZE = 1;
const PRIOR_SIZE_ERRORS = 4;
/** The size follows within some 60 buckets, so that a wild hour is wide and a quiet one narrow. */
const SIZE_BUCKETS = 60;
/** A single error counts at most this many sizes, and the size never falls below the floor. */
const MAX_SIZE_STEP = 8;
const MIN_SIZE = 0.01;

/** Errors of one expert at one horizon. */
export interface SpreadMemory {
  /** Mean |error| ÷ noise. */
  size: number;
  errors: number;
  counts: Float32Array;
  total: number;
  /** Standardised errors at LEVELS, kept because they change only when an outcome arrives. */
  quantiles: Float32Array;
}

export function newSpread(): SpreadMemory {
  const spread = {
    size: PRIOR_SIZE,
    errors: 0,
    counts: new Float32Array(BINS),
    total: 0,
    quantiles: new Float32Array(LEVELS.length),
  };
  readQuantiles(spread);
  return spread;
}

/** Takes the outcome of a point forecast, in place; `keep` is the share of the past kept per bucket. */
export function updateSpread(
  spread: SpreadMemory,
  { point, root, keep }: { point: number; root: number; keep: number },
): void {
  const error = (root - point) / noiseAt(point);
  count(spread, error / spread.size, keep);
  const gain = Math.max(1 / (++spread.errors + PRIOR_SIZE_ERRORS), 1 / SIZE_BUCKETS);
  const bounded = Math.min(Math.abs(error), MAX_SIZE_STEP * spread.size);
  spread.size = Math.max(MIN_SIZE, spread.size + gain * (bounded - spread.size));
  readQuantiles(spread);
}

/** √arrivals around a point at level number `level`, ≥ 0. */
export function rootAtLevel(spread: SpreadMemory, point: number, level: number): number {
  return Math.max(0, point + unitAt(spread, point) * (spread.quantiles[level] as number));
}

/** What one standardised error is in √arrivals at a point. */
export function unitAt({ size }: SpreadMemory, point: number): number {
  return size * noiseAt(point);
}

function count(spread: SpreadMemory, standardised: number, keep: number): void {
  const bin = Math.floor(Math.asinh(standardised) / BIN_WIDTH) + BINS / 2;
  const { counts } = spread;
  for (let i = 0; i < BINS; i++) counts[i] = keep * (counts[i] as number);
  const counted = Math.max(0, Math.min(BINS - 1, bin));
  counts[counted] = (counts[counted] as number) + 1;
  spread.total = keep * spread.total + 1;
}

function readQuantiles({ counts, total, quantiles }: SpreadMemory): void {
  let [bin, below] = [0, 0];
  let inBin = (counts[0] as number) + (PRIOR[0] as number);
  LEVELS.forEach((level, i) => {
    const wanted = level * (total + PRIOR_ERRORS);
    while (bin < BINS - 1 && below + inBin < wanted) {
      below += inBin;
      bin++;
      inBin = (counts[bin] as number) + (PRIOR[bin] as number);
    }
    const [from, to] = [EDGES[bin] as number, EDGES[bin + 1] as number];
    quantiles[i] = from + Math.min(1, (wanted - below) / inBin) * (to - from);
  });
}

/** P(error ≤ x) of a Laplace distribution with mean |error| 1. */
function laplace(x: number): number {
  return x < 0 ? Math.exp(x) / 2 : 1 - Math.exp(-x) / 2;
}
