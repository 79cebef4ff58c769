import { bucketsOf, dayOf, SEASONS_S, type Part, type Series } from '../series.js';

/** Points of the buckets of a series, as forecast `steps` before each: NaN where there is none. */
export type Points = Float64Array;

/** The last known value goes on. */
export function lastValue({ values }: Series, steps: number): Points {
  const points = new Float64Array(values.length).fill(NaN);
  let last = NaN;
  values.forEach((y, origin) => {
    if (!Number.isNaN(y)) last = y;
    if (origin + steps < points.length) points[origin + steps] = last;
  });
  return points;
}

/** The value one season earlier, or as many seasons earlier as it takes to find one that is known. */
export function seasonalNaive({ values }: Pick<Series, 'values'>, lag: number): Points {
  const points = new Float64Array(values.length).fill(NaN);
  for (let t = lag; t < points.length; t++) {
    const y = values[t - lag] as number;
    points[t] = Number.isNaN(y) ? (points[t - lag] as number) : y;
  }
  return points;
}

/** A day, or a week where that is better on what lies before the part and two weeks do. */
export function naiveLag(series: Series, { first }: Part): number {
  const [day, week] = SEASONS_S.map((seasonS) => bucketsOf(series, seasonS)) as [number, number];
  if (first < 2 * week) return day;
  // Both on the buckets that both can tell.
  const error = (lag: number) =>
    meanError(seasonalNaive(series, lag), series.values, { from: week, to: first });
  return error(week) < error(day) ? week : day;
}

export function meanError(
  points: Points,
  values: Float64Array,
  { from, to }: { from: number; to: number },
): number {
  let [sum, known] = [0, 0];
  for (let t = from; t < to; t++) {
    const error = Math.abs((values[t] as number) - (points[t] as number));
    if (Number.isNaN(error)) continue;
    sum += error;
    known++;
  }
  return sum / known;
}

/** Buckets of a day, at least so many that the tails can be told. */
export const RESIDUALS_AT_LEAST = 1000;
export function residualWindow(series: Pick<Series, 'bucketS'>): number {
  return Math.max(RESIDUALS_AT_LEAST, dayOf(series));
}
