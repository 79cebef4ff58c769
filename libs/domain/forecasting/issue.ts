import { CALIBRATED, FIRST_CALIBRATED } from './calibration.js';
import { LEVELS } from './forecast.js';
import type { ForecastMemory, HorizonMemory } from './memory.js';
import { mixtureWeights } from './mixture.js';
import { rootOfReported } from './scale.js';
import { expertRoot, expertUnit, outlookAt, rowAt, type Issued, type Stage } from './stage.js';

/** Quantiles of the external expert: arrivals at LEVELS per horizon. */
export type ExternalForecast = readonly { horizonS: number; values: readonly number[] }[];

/** Without a known bucket for this long there is no level to start from, and no forecast. */
export const MAX_SILENT_BUCKETS = 15;

/** Known buckets below which only reactive experts speak: half an hour of a day. */
const REACTIVE_SEASONS = 1 / 48;
const MIN_REACTIVE_BUCKETS = 30;
const MAX_REACTIVE_BUCKETS = 300;
/** And their spread, learned from few errors, is taken this much wider. */
const REACTIVE_WIDENING = 1.5;

const MEDIAN = LEVELS.indexOf(0.5);

export function isSilent({ history }: ForecastMemory): boolean {
  return history.lastKnown === -1 || history.end - history.lastKnown > MAX_SILENT_BUCKETS;
}

export function isReactiveOnly({ layout }: Stage, { history }: ForecastMemory): boolean {
  const wanted = layout.seasonBuckets * REACTIVE_SEASONS;
  return history.known < Math.max(MIN_REACTIVE_BUCKETS, Math.min(wanted, MAX_REACTIVE_BUCKETS));
}

/** Forecasts from the last closed bucket, at every horizon: into `stage.issued`, and remembered until their outcome. */
export function issue(stage: Stage, memory: ForecastMemory, external: ExternalForecast | undefined): void {
  const silent = isSilent(memory);
  memory.horizons.forEach((horizon, i) => {
    const row = rowAt(horizon, memory.history.end - 1, stage.row);
    horizon.pending.fill(NaN, row, row + stage.row.width);
    if (silent) return;
    const horizonS = stage.settings.horizonsS[i] as number;
    askExperts(row, horizon, {
      stage,
      memory,
      values: external?.find((one) => one.horizonS === horizonS)?.values,
    });
    mix(row, horizon, {
      stage,
      issued: stage.issued[i] as Issued,
      reactiveOnly: isReactiveOnly(stage, memory),
    });
  });
}

function askExperts(
  row: number,
  horizon: HorizonMemory,
  { stage, memory, values }: { stage: Stage; memory: ForecastMemory; values: readonly number[] | undefined },
): void {
  const outlook = outlookAt(memory.history.end - 1, horizon, { layout: stage.layout, memory });
  stage.experts.forEach(({ point }, expert) => {
    horizon.pending[row + expert] = point(outlook);
  });
  if (stage.settings.external !== undefined && values !== undefined)
    takeExternal(row, horizon, { stage, values });
}

/** Taken only as a whole: a forecast that is not numbers, or goes down, has no vote. */
function takeExternal(
  row: number,
  horizon: HorizonMemory,
  { stage, values }: { stage: Stage; values: readonly number[] },
): void {
  const roots = LEVELS.map((_, level) => rootOfReported(values[level] ?? null));
  if (roots.some((root, level) => Number.isNaN(root) || root < (roots[level - 1] ?? 0))) return;
  horizon.pending.set(roots, row + stage.row.external);
  horizon.pending[row + stage.experts.length] = roots[MEDIAN] as number;
}

/** Average of the experts' quantiles (in √arrivals, level by level), then calibration; non-decreasing and ≥ 0. */
function mix(
  row: number,
  horizon: HorizonMemory,
  { stage, issued, reactiveOnly }: { stage: Stage; issued: Issued; reactiveOnly: boolean },
): void {
  const { weights, roots } = issued;
  mixtureWeights(weights, horizon.losses, (expert) => {
    if (Number.isNaN(horizon.pending[row + expert])) return false;
    return !reactiveOnly || stage.experts[expert]?.reactive === true;
  });
  roots.fill(0);
  let unit = 0;
  const { external } = stage.row;
  weights.forEach((weight, expert) => {
    if (weight === 0) return;
    unit += weight * expertUnit(horizon, { expert, row, external });
    for (let level = 0; level < roots.length; level++) {
      roots[level] =
        (roots[level] as number) + weight * expertRoot(horizon, { expert, level, row, external });
    }
  });
  if (reactiveOnly) widen(roots);
  for (let i = 0; i < CALIBRATED; i++) {
    const level = FIRST_CALIBRATED + i;
    roots[level] = (roots[level] as number) + unit * (horizon.offsets[i] as number);
  }
  // Sorting, not a running maximum: a level that calibration sent too high must not lift all above it.
  roots.sort();
  for (let level = 0; level < roots.length; level++) roots[level] = Math.max(0, roots[level] as number);
  horizon.pending.set(roots.subarray(FIRST_CALIBRATED), row + stage.row.issued);
}

function widen(roots: Float64Array): void {
  const median = roots[MEDIAN] as number;
  for (let level = 0; level < roots.length; level++) {
    roots[level] = median + REACTIVE_WIDENING * ((roots[level] as number) - median);
  }
}
