import type { QuantileRows } from '../quantile-rows.js';
import type { Part, Series } from '../series.js';
import { craneDsp } from './crane-dsp.js';
import { documentedHoltWinters, tunedHoltWinters } from './holt-winters.js';
import { lastValue, naiveLag, residualWindow, seasonalNaive, type Points } from './points.js';
import { asQuantiles, withResidualQuantiles } from './residual-quantiles.js';

export const RAW_SEASONAL_NAIVE = 'raw seasonal naive';
export const LAST_VALUE = 'last value';

interface Opponent {
  name: string;
  /** Per horizon. */
  points: (series: Series, part: Part) => Points[];
}

/** Points; each gets quantiles from its own latest errors. */
const OPPONENTS: Opponent[] = [
  { name: LAST_VALUE, points: (series) => series.steps.map((steps) => lastValue(series, steps)) },
  {
    name: 'seasonal naive',
    points: (series, part) => series.steps.map(() => seasonalNaive(series, naiveLag(series, part))),
  },
  {
    name: 'PHPA Holt-Winters, as documented',
    points: (series) => series.steps.map((steps) => documentedHoltWinters(series, steps)),
  },
  {
    name: 'PHPA Holt-Winters, tuned',
    points: (series, { first }) => series.steps.map((steps) => tunedHoltWinters(series, { steps, first })),
  },
  { name: 'Crane DSP', points: craneDsp },
];

export interface OpponentForecasts {
  name: string;
  /** Per horizon. */
  rows: QuantileRows[];
  msPerForecast: number;
}

/** Everything it is told of the series lies before the bucket it forecasts; what it chooses, before the part. */
export function opponentForecasts(series: Series, part: Part): OpponentForecasts[] {
  const { values } = series;
  const window = residualWindow(series);
  const timed = OPPONENTS.map(({ name, points }) => {
    const before = performance.now();
    const rows = points(series, part).map((made, horizon) =>
      withResidualQuantiles(made, { values, part, steps: series.steps[horizon] as number, window }),
    );
    return { name, rows, msPerForecast: (performance.now() - before) / values.length };
  });
  const raw = asQuantiles(seasonalNaive(series, naiveLag(series, part)), part);
  return [...timed, { name: RAW_SEASONAL_NAIVE, rows: series.steps.map(() => raw), msPerForecast: 0 }];
}
