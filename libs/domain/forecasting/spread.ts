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

/** Errors at one horizon, expert by expert: flat, because ten thousand pools are many small objects. */
export interface SpreadMemory {
  /** Mean |error| ÷ noise. */
  sizes: Float64Array;
  /** Errors counted, undecayed and decayed. */
  errors: Float64Array;
  totals: Float64Array;
  /** BINS per expert. */
  counts: Float32Array;
  /** Standardised errors at LEVELS, kept because they change only when an outcome arrives. */
  quantiles: Float32Array;
}

export function newSpread(experts: number): SpreadMemory {
  const spread = {
    sizes: new Float64Array(experts).fill(PRIOR_SIZE),
    errors: new Float64Array(experts),
    totals: new Float64Array(experts),
    counts: new Float32Array(experts * BINS),
    quantiles: new Float32Array(experts * LEVELS.length),
  };
  for (let expert = 0; expert < experts; expert++) readQuantiles(spread, expert);
  return spread;
}

/** Takes the outcome of an expert's point, in place; `keep` is the share of the past kept per bucket. */
export function updateSpread(
  spread: SpreadMemory,
  { expert, point, root, keep }: { expert: number; point: number; root: number; keep: number },
): void {
  const size = spread.sizes[expert] as number;
  const errors = (spread.errors[expert] as number) + 1;
  const error = (root - point) / noiseAt(point);
  count(spread, { expert, standardised: error / size, keep });
  const gain = Math.max(1 / (errors + PRIOR_SIZE_ERRORS), 1 / SIZE_BUCKETS);
  const bounded = Math.min(Math.abs(error), MAX_SIZE_STEP * size);
  spread.errors[expert] = errors;
  spread.sizes[expert] = Math.max(MIN_SIZE, size + gain * (bounded - size));
  readQuantiles(spread, expert);
}

/** √arrivals at level number `level` around an expert's point, ≥ 0. */
export function rootAtLevel(
  spread: SpreadMemory,
  { expert, point, level }: { expert: number; point: number; level: number },
): number {
  const standardised = spread.quantiles[expert * LEVELS.length + level] as number;
  return Math.max(0, point + unitAt(spread, { expert, point }) * standardised);
}

/** What one standardised error is in √arrivals at a point. */
export function unitAt(
  { sizes }: SpreadMemory,
  { expert, point }: { expert: number; point: number },
): number {
  return (sizes[expert] as number) * noiseAt(point);
}

function count(
  { counts, totals }: SpreadMemory,
  { expert, standardised, keep }: { expert: number; standardised: number; keep: number },
): void {
  const first = expert * BINS;
  for (let i = first; i < first + BINS; i++) counts[i] = keep * (counts[i] as number);
  const bin = Math.floor(Math.asinh(standardised) / BIN_WIDTH) + BINS / 2;
  const counted = first + Math.max(0, Math.min(BINS - 1, bin));
  counts[counted] = (counts[counted] as number) + 1;
  totals[expert] = keep * (totals[expert] as number) + 1;
}

function readQuantiles({ counts, totals, quantiles }: SpreadMemory, expert: number): void {
  const errors = (totals[expert] as number) + PRIOR_ERRORS;
  const countOf = (bin: number) => (counts[expert * BINS + bin] as number) + (PRIOR[bin] as number);
  let [bin, below, inBin] = [0, 0, countOf(0)];
  for (let i = 0; i < LEVELS.length; i++) {
    const wanted = (LEVELS[i] as number) * errors;
    while (bin < BINS - 1 && below + inBin < wanted) {
      below += inBin;
      inBin = countOf(++bin);
    }
    const [from, to] = [EDGES[bin] as number, EDGES[bin + 1] as number];
    quantiles[expert * LEVELS.length + i] = from + Math.min(1, (wanted - below) / inBin) * (to - from);
  }
}

/** P(error ≤ x) of a Laplace distribution with mean |error| 1. */
function laplace(x: number): number {
  return x < 0 ? Math.exp(x) / 2 : 1 - Math.exp(-x) / 2;
}
