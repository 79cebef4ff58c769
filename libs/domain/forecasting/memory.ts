import { CALIBRATED } from './calibration.js';
import { newHolt, type HoltMemory } from './experts/damped-holt.js';
import { expertsOf } from './experts/experts.js';
import { newRidge, type RidgeMemory } from './experts/ridge.js';
import { LEVELS } from './forecast.js';
import { newHistory, type History } from './history.js';
import { newLosses, type LossMemory } from './mixture.js';
import { historyBuckets, layoutOf, type ForecastSettings } from './settings.js';
import { newSpread, type SpreadMemory } from './spread.js';

/**
 * All that a pool's forecasts depend on, of fixed size (35 KB for minutes with a season of a day and three horizons).
 * structuredClone copies it. Belongs to its owner: forecastStep changes it in place.
 */
export interface ForecastMemory {
  /** Start of the last closed bucket, epoch ms; undefined before the first. */
  lastStartMs: number | undefined;
  history: History;
  holt: HoltMemory;
  /** In the order of horizonsS. */
  horizons: HorizonMemory[];
}

export interface HorizonMemory {
  steps: number;
  /** Of every expert but the external one, which brings its own quantiles. */
  spread: SpreadMemory;
  losses: LossMemory;
  ridge: RidgeMemory;
  /** Corrections of the calibrated levels, in mean errors. */
  offsets: Float64Array;
  /** Forecasts that wait for their outcome, in √arrivals: a row per origin, at (origin mod steps). See {@link rowOf}. */
  pending: Float32Array;
}

/**
 * A row of pending forecasts: where its parts begin.
 *
 *   points, one per expert │ calibrated quantiles as issued │ quantiles of the external expert, if there is one
 */
export interface RowLayout {
  issued: number;
  external: number;
  width: number;
}

export function rowLayout({ experts, external }: { experts: number; external: boolean }): RowLayout {
  const issued = experts;
  const outside = issued + CALIBRATED;
  return { issued, external: outside, width: outside + (external ? LEVELS.length : 0) };
}

/** Throws a RangeError on settings that cannot be (see {@link layoutOf}). */
export function newForecastMemory(settings: ForecastSettings): ForecastMemory {
  const layout = layoutOf(settings);
  const own = expertsOf(layout).length;
  const external = settings.external !== undefined;
  const experts = own + (external ? 1 : 0);
  const { width } = rowLayout({ experts, external });
  return {
    lastStartMs: undefined,
    history: newHistory(historyBuckets(layout)),
    holt: newHolt(),
    horizons: layout.steps.map((steps) => ({
      steps,
      spread: newSpread(own),
      losses: newLosses(experts),
      ridge: newRidge(layout.seasons.length),
      offsets: new Float64Array(CALIBRATED),
      pending: new Float32Array(steps * width).fill(NaN),
    })),
  };
}
