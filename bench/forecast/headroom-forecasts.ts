import {
  forecastStep,
  LEVELS,
  newForecastMemory,
  opinionsOf,
  type ForecastMemory,
  type ForecastSettings,
} from '#domain/forecasting';
import { newRows, setRow, type QuantileRows } from './quantile-rows.js';
import { SEASONS_S, type Part, type Series } from './series.js';

export const MIXTURE = 'mixture';
/** Levels of the plots. */
export const BAND_LEVELS = [0.05, 0.5, 0.95] as const;

export interface HeadroomForecasts {
  /** Per method, then per horizon. */
  methods: Map<string, QuantileRows[]>;
  /** The mixture at BAND_LEVELS, horizon by horizon, for every bucket of the series. */
  bands: Float64Array[];
  /** One origin, all horizons: the mean over the part. */
  msPerForecast: number;
  stateBytes: number;
}

/** Every bucket of the series is taken as it closes, and forecast from: what is scored was learned from nothing later. */
export function headroomForecasts(series: Series, part: Part): HeadroomForecasts {
  const { bucketS, startMs, values, steps } = series;
  const settings: ForecastSettings = {
    pool: series.name,
    bucketS,
    seasonsS: SEASONS_S,
    horizonsS: steps.map((buckets) => buckets * bucketS),
  };
  const memory = newForecastMemory(settings);
  const made = newForecasts({ series, part, settings, memory });
  const firstOrigin = part.first - Math.max(...steps);
  let elapsedMs = 0;
  for (let origin = 0; origin < part.end; origin++) {
    const y = values[origin] as number;
    const closed = [{ startMs: startMs + origin * bucketS * 1000, arrivals: Number.isNaN(y) ? null : y }];
    const before = performance.now();
    const { output } = forecastStep({ settings, closed }, memory);
    if (origin >= firstOrigin) elapsedMs += performance.now() - before;
    if (output === undefined) continue;
    output.horizons.forEach((horizon, i) => {
      const target = origin + (steps[i] as number);
      keepBand(made.bands[i] as Float64Array, target, horizon.values);
      keep(made.methods, MIXTURE, { part, target, horizon: i, values: horizon.values });
    });
    if (origin < firstOrigin) continue;
    opinionsOf(settings, memory).forEach((opinions, horizon) => {
      const target = origin + (steps[horizon] as number);
      for (const opinion of opinions)
        keep(made.methods, opinion.expert, { part, target, horizon, values: opinion.values });
    });
  }
  return {
    ...made,
    msPerForecast: elapsedMs / (part.end - firstOrigin),
    stateBytes: bytesOf(memory),
  };
}

function newForecasts(given: {
  series: Series;
  part: Part;
  settings: ForecastSettings;
  memory: ForecastMemory;
}): Pick<HeadroomForecasts, 'methods' | 'bands'> {
  const { series, part, settings, memory } = given;
  const experts = opinionsOf(settings, memory)[0] ?? [];
  const names = [...experts.map(({ expert }) => expert), MIXTURE];
  return {
    methods: new Map(names.map((name) => [name, series.steps.map(() => newRows(part))])),
    bands: series.steps.map(() => new Float64Array(series.values.length * BAND_LEVELS.length).fill(NaN)),
  };
}

function keep(
  methods: HeadroomForecasts['methods'],
  method: string,
  made: { part: Part; target: number; horizon: number; values: readonly number[] | undefined },
): void {
  const { part, target, horizon, values } = made;
  const rows = methods.get(method)?.[horizon];
  if (rows === undefined || values === undefined) return;
  setRow(rows, { part, target, at: (level) => valueAt(values, level) });
}

function keepBand(band: Float64Array, target: number, values: readonly number[]): void {
  BAND_LEVELS.forEach((level, i) => {
    const index = target * BAND_LEVELS.length + i;
    if (index < band.length) band[index] = valueAt(values, level);
  });
}

function valueAt(values: readonly number[], level: number): number {
  return values[LEVELS.findIndex((one) => one === level)] as number;
}

/** What is kept of a pool: numbers in arrays, and single ones at 8 bytes. */
export function bytesOf(memory: unknown): number {
  if (ArrayBuffer.isView(memory)) return memory.byteLength;
  if (typeof memory !== 'object' || memory === null) return 8;
  return Object.values(memory).reduce((sum: number, part) => sum + bytesOf(part), 0);
}
