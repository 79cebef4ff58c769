import { newRows, setRow, type QuantileRows } from '../quantile-rows.js';
import type { Part } from '../series.js';
import type { Points } from './points.js';

/** The latest values, at most so many, in order of size as well as of time. */
class LatestInOrder {
  private readonly sorted: Float64Array;
  /** In order of time, around the end. */
  private readonly ring: Float64Array;
  private added = 0;

  constructor(private readonly most: number) {
    this.sorted = new Float64Array(most);
    this.ring = new Float64Array(most);
  }

  private get size(): number {
    return Math.min(this.added, this.most);
  }

  add(value: number): void {
    const slot = this.added % this.most;
    if (this.added >= this.most) this.move(this.placeOf(this.ring[slot] as number), this.most - 1, value);
    else this.move(this.added, this.added, value);
    this.ring[slot] = value;
    this.added++;
  }

  /** The value in whose place this share lies; NaN without any. */
  at(level: number): number {
    return this.size === 0 ? NaN : (this.sorted[Math.floor(level * this.size)] as number);
  }

  /** Takes out what lies at `from` (the last place in use is `last`) and puts the value in. */
  private move(from: number, last: number, value: number): void {
    this.sorted.copyWithin(from, from + 1, last + 1);
    const to = this.placeOf(value, last);
    this.sorted.copyWithin(to + 1, to, last);
    this.sorted[to] = value;
  }

  /** Of the first of the `among` smallest that is not less. */
  private placeOf(value: number, among = this.size): number {
    let [low, high] = [0, among];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.sorted[middle] as number) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Point forecasts with the quantiles of their own latest errors, of those known when each was made. */
export function withResidualQuantiles(
  points: Points,
  given: { values: Float64Array; part: Part; steps: number; window: number },
): QuantileRows {
  const { values, part, steps, window } = given;
  const rows = newRows(part);
  const latest = new LatestInOrder(window);
  const errorAt = (t: number) => (values[t] ?? NaN) - (points[t] ?? NaN);
  for (let origin = 0; origin + steps < part.end; origin++) {
    const error = errorAt(origin);
    if (!Number.isNaN(error)) latest.add(error);
    const target = origin + steps;
    const point = points[target] as number;
    setRow(rows, { part, target, at: (level) => Math.max(0, point + latest.at(level)) });
  }
  return rows;
}

/** The same value at every level. */
export function asQuantiles(points: Points, part: Part): QuantileRows {
  const rows = newRows(part);
  for (let target = part.first; target < part.end; target++)
    setRow(rows, { part, target, at: () => points[target] as number });
  return rows;
}
