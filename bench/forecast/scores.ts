import { pinballLoss, SCORED_LEVELS } from '#domain/forecasting';
import { createRandom } from '#domain/simulation';
import { hasRow, WIDTH, type QuantileRows } from './quantile-rows.js';

// WQL, MASE and coverage as docs/ARCHITECTURE.md defines them ("How it is measured").

/** Which rows count, and what arrived: NaN is missing and never counts. */
export interface Target {
  actual: Float64Array;
  counts: (row: number) => boolean;
}

/** Σ_q Σ_t 2·pinball ÷ (|Q|·Σ|y|); NaN when nothing arrived. */
export function wqlOf(rows: QuantileRows, { actual, counts }: Target): number {
  let [loss, arrivals] = [0, 0];
  actual.forEach((y, row) => {
    if (Number.isNaN(y) || !counts(row)) return;
    arrivals += Math.abs(y);
    for (let i = 0; i < WIDTH; i++) {
      const [level, value] = [SCORED_LEVELS[i] as number, rows[row * WIDTH + i] as number];
      loss += 2 * pinballLoss({ level, value }, y);
    }
  });
  return loss / (WIDTH * arrivals);
}

const MEDIAN = SCORED_LEVELS.indexOf(0.5);

/** Mean |y − median| ÷ `scale`. */
export function maseOf(rows: QuantileRows, { actual, counts }: Target, scale: number): number {
  let [sum, known] = [0, 0];
  actual.forEach((y, row) => {
    if (Number.isNaN(y) || !counts(row)) return;
    sum += Math.abs(y - (rows[row * WIDTH + MEDIAN] as number));
    known++;
  });
  return sum / known / scale;
}

/** Mean |y_t − y_{t − lag}| before bucket `before`: what MASE is relative to. */
export function naiveError(values: Float64Array, { lag, before }: { lag: number; before: number }): number {
  let [sum, known] = [0, 0];
  for (let t = lag; t < before; t++) {
    const error = Math.abs((values[t] as number) - (values[t - lag] as number));
    if (Number.isNaN(error)) continue;
    sum += error;
    known++;
  }
  return sum / known;
}

export const COVERED_LEVELS = [0.9, 0.95, 0.99] as const;

/** How often a quantile was not exceeded. `below` and `atMost` differ by ties. */
export interface Coverage {
  level: number;
  below: number;
  atMost: number;
  calibrated: boolean;
}

/** Of a bootstrap: blocks are as long as errors hang together. */
export interface Bootstrap {
  blockBuckets: number;
  resamples: number;
  seed: number;
}

/** A forecast this close to what arrived is equal to it: roots are kept in single precision. */
const TIE = 1e-6;

/** Whether a level lies in [share below, share at most], each widened by chance. */
export function coverageOf(
  rows: QuantileRows,
  target: Target & { level: number },
  bootstrap: Bootstrap,
): Coverage {
  const { level } = target;
  const column = SCORED_LEVELS.findIndex((one) => one === level);
  const hits = hitsOf(rows, target, column);
  const [below, atMost] = [shareOf(hits.below, hits.known), shareOf(hits.atMost, hits.known)];
  const se = (part: Uint32Array) => standardError(part, hits.known, bootstrap);
  const calibrated =
    below - widening(level, se(hits.below)) <= level && level <= atMost + widening(level, se(hits.atMost));
  return { level, below, atMost, calibrated };
}

/** max(min(2 points, (1 − q)/2), 2 SE, capped at 2(1 − q)/3). */
export function widening(level: number, se: number): number {
  return Math.max(Math.min(0.02, (1 - level) / 2), Math.min(2 * se, (2 * (1 - level)) / 3));
}

/** Running counts: entry i is of the rows before i. */
interface Hits {
  known: Uint32Array;
  below: Uint32Array;
  atMost: Uint32Array;
}

function hitsOf(rows: QuantileRows, { actual, counts }: Target, column: number): Hits {
  const zeros = () => new Uint32Array(actual.length + 1);
  const hits: Hits = { known: zeros(), below: zeros(), atMost: zeros() };
  actual.forEach((y, row) => {
    const value = rows[row * WIDTH + column] as number;
    const isKnown = !Number.isNaN(y) && counts(row);
    const tie = TIE * Math.max(1, Math.abs(y));
    const add = (sums: Uint32Array, holds: boolean) => {
      sums[row + 1] = (sums[row] as number) + (isKnown && holds ? 1 : 0);
    };
    add(hits.known, true);
    add(hits.below, y < value - tie);
    add(hits.atMost, y <= value + tie);
  });
  return hits;
}

function shareOf(hits: Uint32Array, known: Uint32Array): number {
  return (hits.at(-1) as number) / (known.at(-1) as number);
}

/** Of a share, by resampling blocks of consecutive rows, around the end as well. */
function standardError(
  hits: Uint32Array,
  known: Uint32Array,
  { blockBuckets, resamples, seed }: Bootstrap,
): number {
  const rows = hits.length - 1;
  const block = Math.min(rows, blockBuckets);
  const blocks = Math.ceil(rows / block);
  const random = createRandom(seed);
  const within = (sums: Uint32Array, from: number, to: number) =>
    to <= rows
      ? (sums[to] as number) - (sums[from] as number)
      : (sums[rows] as number) - (sums[from] as number) + (sums[to - rows] as number);
  let [sum, squares] = [0, 0];
  for (let i = 0; i < resamples; i++) {
    let [hit, all] = [0, 0];
    for (let drawn = 0; drawn < blocks; drawn++) {
      const from = Math.floor(random() * rows);
      hit += within(hits, from, from + block);
      all += within(known, from, from + block);
    }
    const share = hit / Math.max(1, all);
    sum += share;
    squares += share * share;
  }
  const mean = sum / resamples;
  return Math.sqrt(Math.max(0, squares / resamples - mean * mean));
}

/** The one mean that ratios have. */
export function geometricMean(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
}

/** Rows that a method has a forecast of. */
export function rowsWith(rows: QuantileRows): (row: number) => boolean {
  return (row) => hasRow(rows, row);
}
