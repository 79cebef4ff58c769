import { dayOf, type Part, type Series } from '../series.js';
import { meanError, type Points } from './points.js';

// PHPA's HoltWinters model (predictive-horizontal-pod-autoscaler): additive, its constants given by the user, forecast
// one period ahead. Given the benefit of the doubt: in order of time (its pruned history is read newest first), and
// without the rounding up to whole replicas.

export interface HoltWintersSettings {
  /** Gains of level, trend and season, in (0, 1]; 0: none. */
  alpha: number;
  beta: number;
  gamma: number;
  /** Buckets of the season. */
  season: number;
}

/** The constants of its documentation, and how many seasons of history it keeps. */
export const DOCUMENTED: HoltWintersSettings = { alpha: 0.9, beta: 0.9, gamma: 0.9, season: 6 };
const STORED_SEASONS = 5;

const GRID = [0.05, 0.1, 0.3, 0.6, 0.9].flatMap((alpha) =>
  [0, 0.01, 0.1].flatMap((beta) => [0.05, 0.1, 0.3, 0.6].map((gamma) => ({ alpha, beta, gamma }))),
);

/**
 * As it is documented: from every bucket it runs through the seasons it keeps anew, and what it forecasts of the next
 * bucket is what the replicas that come `steps` later are set by.
 */
export function documentedHoltWinters({ values }: Pick<Series, 'values'>, steps: number): Points {
  const points = new Float64Array(values.length).fill(NaN);
  const stored = STORED_SEASONS * DOCUMENTED.season;
  for (let origin = stored - 1; origin + steps < values.length; origin++)
    points[origin + steps] = new HoltWinters(
      values.subarray(origin + 1 - stored, origin + 1),
      DOCUMENTED,
    ).ahead(1);
  return points;
}

/** In one run through the series, each bucket forecast from `steps` before it. */
export function holtWinters(
  { values }: Pick<Series, 'values'>,
  { steps, settings }: { steps: number; settings: HoltWintersSettings },
): Points {
  const points = new Float64Array(values.length).fill(NaN);
  const model = new HoltWinters(values.subarray(0, settings.season), settings);
  for (let t = settings.season; t + steps < values.length; t++) {
    model.take(values[t] as number);
    points[t + steps] = model.ahead(steps);
  }
  return points;
}

/** Additive Holt-Winters; level and seasons begin with those of the first season. */
class HoltWinters {
  private level: number;
  private trend = 0;
  private readonly seasonal: Float64Array;
  /** Buckets taken. */
  private taken: number;

  constructor(
    past: Float64Array,
    private readonly settings: HoltWintersSettings,
  ) {
    const first = past.subarray(0, settings.season);
    this.level = meanOf(first);
    this.seasonal = first.map((y) => y - this.level || 0);
    this.taken = first.length;
    past.subarray(settings.season).forEach((y) => this.take(y));
  }

  /** A missing bucket (NaN) counts as the one that was forecast. */
  take(known: number): void {
    const { alpha, beta, gamma, season } = this.settings;
    const slot = this.taken++ % season;
    const { level, trend } = this;
    const before = this.seasonal[slot] as number;
    const y = Number.isNaN(known) ? level + trend + before : known;
    this.level = alpha * (y - before) + (1 - alpha) * (level + trend);
    this.trend = beta * (this.level - level) + (1 - beta) * trend;
    this.seasonal[slot] = gamma * (y - level - trend) + (1 - gamma) * before;
  }

  ahead(steps: number): number {
    const season = this.seasonal[(this.taken + steps - 1) % this.settings.season] as number;
    return Math.max(0, this.level + steps * this.trend + season);
  }
}

/** A season of a day, forecast as far ahead as it is used, constants by the mean error before the part. */
export function tunedHoltWinters(
  series: Series,
  { steps, first }: { steps: number } & Pick<Part, 'first'>,
): Points {
  const past = { values: series.values.subarray(0, first) };
  const season = dayOf(series);
  let [least, best] = [Infinity, GRID[0] as Omit<HoltWintersSettings, 'season'>];
  for (const constants of GRID) {
    const points = holtWinters(past, { steps, settings: { ...constants, season } });
    const error = meanError(points, past.values, { from: 2 * season, to: first });
    if (error < least) [least, best] = [error, constants];
  }
  return holtWinters(series, { steps, settings: { ...best, season } });
}

function meanOf(values: Float64Array): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
}
