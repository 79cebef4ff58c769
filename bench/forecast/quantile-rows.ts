import { SCORED_LEVELS } from '#domain/forecasting';
import type { Part } from './series.js';

export const WIDTH = SCORED_LEVELS.length;

/** Forecasts of the buckets of a part: a row of quantiles at SCORED_LEVELS per bucket, NaN where there is none. */
export type QuantileRows = Float64Array;

export function newRows({ first, end }: Part): QuantileRows {
  return new Float64Array((end - first) * WIDTH).fill(NaN);
}

/** Writes the forecast of bucket `target` if the part has it. */
export function setRow(
  rows: QuantileRows,
  { part, target, at }: { part: Part; target: number; at: (level: number) => number },
): void {
  if (target < part.first || target >= part.end) return;
  const row = (target - part.first) * WIDTH;
  SCORED_LEVELS.forEach((level, i) => {
    rows[row + i] = at(level);
  });
}

export function hasRow(rows: QuantileRows, row: number): boolean {
  return !Number.isNaN(rows[row * WIDTH]);
}

/** Takes from another method what this one has no forecast of; returns how many buckets that were. */
export function fillFrom(rows: QuantileRows, other: QuantileRows): number {
  let filled = 0;
  for (let row = 0; row * WIDTH < rows.length; row++) {
    if (hasRow(rows, row)) continue;
    rows.set(other.subarray(row * WIDTH, (row + 1) * WIDTH), row * WIDTH);
    filled++;
  }
  return filled;
}
