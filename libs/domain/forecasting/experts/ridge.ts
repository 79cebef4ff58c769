import { meanUpTo, rootAt } from '../history.js';
import { noiseAt } from '../scale.js';
import type { Season } from '../settings.js';
import type { Expert, Outlook } from './outlook.js';
import { shapePoint, usualPoint } from './seasonal-shape.js';

// Ridge regression on differences from the level of now, solved in closed form: the linear models that win on such
// series (DLinear, RLinear, FITS: arXiv 2403.14587) are this, trained the long way round.

/** Penalty on coefficients other than zero, in rows. */
const LAMBDA = 10;
/** Weight of a row halves in this many seasons, but not before so many buckets. */
const HALF_LIFE_SEASONS = 3;
const MIN_HALF_LIFE_BUCKETS = 600;
/** Coefficients are solved for every so many rows. */
const REFIT_ROWS = 8;
/** No opinion before so many rows, in decayed weight: fewer say less than the level alone. */
const MIN_ROWS = 60;
/** Features and targets beyond so many times the noise are cut: one burst is not the whole regression. */
const MAX_FEATURE = 50;
/** Two standard deviations of counting noise, in noise: what jumps beyond it is news, and stays longer than chance does. */
const NEWS = 1;

/** Intercept, three lags, what is news in the latest one, three means. */
const LEVEL_FEATURES = 8;
/** What is usual at the target's time, and the shape from now to then. */
const SEASON_FEATURES = 2;

/** Decayed normal equations of one horizon, and the solution that was made of them last. */
export interface RidgeMemory {
  /** Σ x·xᵀ, lower triangle by rows. */
  gram: Float64Array;
  /** Σ x·y. */
  moments: Float64Array;
  coefficients: Float64Array;
  rows: number;
  sinceFit: number;
  fitted: boolean;
}

export function newRidge(seasons: number): RidgeMemory {
  const features = LEVEL_FEATURES + SEASON_FEATURES * seasons;
  return {
    gram: new Float64Array((features * (features + 1)) / 2),
    moments: new Float64Array(features),
    coefficients: new Float64Array(features),
    rows: 0,
    sinceFit: 0,
    fitted: false,
  };
}

/** Weighs recent lags and the past seasons as the last seasons taught it. */
export function ridge(seasons: Season[]): Expert {
  const features = new Float64Array(LEVEL_FEATURES + SEASON_FEATURES * seasons.length);
  return {
    name: 'ridge',
    reactive: false,
    point: (outlook) => {
      if (!outlook.ridge.fitted) return NaN;
      fillFeatures(features, outlook, seasons);
      return Math.max(0, outlook.level + noiseAt(outlook.level) * dot(features, outlook.ridge.coefficients));
    },
  };
}

/**
 * Takes the outcome (√arrivals, known) of a forecast whose outlook this was, in place. The features are made again from
 * history instead of being stored: history is kept anyway.
 */
export function learnRidge(outlook: Outlook, root: number, { seasons, seasonBuckets }: RidgeLayout): void {
  if (Number.isNaN(outlook.level)) return;
  const { ridge } = outlook;
  const features = new Float64Array(ridge.moments.length);
  fillFeatures(features, outlook, seasons);
  const keep = 0.5 ** (1 / Math.max(HALF_LIFE_SEASONS * seasonBuckets, MIN_HALF_LIFE_BUCKETS));
  addRow(ridge, { features, target: cut((root - outlook.level) / noiseAt(outlook.level)), keep });
  if (++ridge.sinceFit < REFIT_ROWS || ridge.rows < MIN_ROWS) return;
  ridge.sinceFit = 0;
  solve(ridge);
}

export interface RidgeLayout {
  seasons: Season[];
  seasonBuckets: number;
}

/** All relative to the level and its noise: never the level itself, which is out of range after a regime shift. */
function fillFeatures(features: Float64Array, outlook: Outlook, seasons: Season[]): void {
  const { history, origin, windows, level } = outlook;
  const perNoise = 1 / noiseAt(level);
  const relative = (root: number) => (Number.isNaN(root) ? 0 : cut((root - level) * perNoise));
  const mean = (buckets: number) => relative(meanUpTo(history, { last: origin, buckets }));
  let i = 0;
  features[i++] = 1;
  for (let lag = 0; lag < 3; lag++) features[i++] = relative(rootAt(history, origin - lag));
  features[i++] = newsIn(features[1] as number);
  features[i++] = mean(windows.shape);
  features[i++] = mean(windows.middle);
  features[i++] = mean(windows.long);
  for (const season of seasons) {
    features[i++] = relative(usualPoint(outlook, season));
    features[i++] = relative(shapePoint(outlook, season));
  }
}

function cut(value: number): number {
  return Math.max(-MAX_FEATURE, Math.min(MAX_FEATURE, value));
}

/** The part beyond ±NEWS: with it a straight line bends once on either side. */
function newsIn(value: number): number {
  return value - Math.max(-NEWS, Math.min(NEWS, value));
}

function addRow(
  ridge: RidgeMemory,
  { features, target, keep }: { features: Float64Array; target: number; keep: number },
): void {
  const { gram, moments } = ridge;
  for (let row = 0, cell = 0; row < features.length; row++) {
    const x = features[row] as number;
    moments[row] = keep * (moments[row] as number) + x * target;
    for (let column = 0; column <= row; column++, cell++) {
      gram[cell] = keep * (gram[cell] as number) + x * (features[column] as number);
    }
  }
  ridge.rows = keep * ridge.rows + 1;
}

/** (Σ x·xᵀ + λ·I)·β = Σ x·y by Cholesky: λ > 0 makes it positive definite whatever was seen. */
function solve(ridge: RidgeMemory): void {
  const size = ridge.moments.length;
  const factor = Float64Array.from(ridge.gram);
  for (let i = 0; i < size; i++) factor[cellOf(i, i)] = (factor[cellOf(i, i)] as number) + LAMBDA;
  factorise(factor, size);
  const beta = ridge.coefficients;
  for (let i = 0; i < size; i++) {
    let sum = ridge.moments[i] as number;
    for (let k = 0; k < i; k++) sum -= (factor[cellOf(i, k)] as number) * (beta[k] as number);
    beta[i] = sum / (factor[cellOf(i, i)] as number);
  }
  for (let i = size - 1; i >= 0; i--) {
    let sum = beta[i] as number;
    for (let k = i + 1; k < size; k++) sum -= (factor[cellOf(k, i)] as number) * (beta[k] as number);
    beta[i] = sum / (factor[cellOf(i, i)] as number);
  }
  ridge.fitted = true;
}

/** Lower triangle L with L·Lᵀ = the given one, in place. */
function factorise(cells: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = cells[cellOf(i, j)] as number;
      for (let k = 0; k < j; k++) sum -= (cells[cellOf(i, k)] as number) * (cells[cellOf(j, k)] as number);
      cells[cellOf(i, j)] = i === j ? Math.sqrt(sum) : sum / (cells[cellOf(j, j)] as number);
    }
  }
}

const cellOf = (row: number, column: number) => (row * (row + 1)) / 2 + column;

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}
