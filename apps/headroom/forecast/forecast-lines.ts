import type { Trace } from '#adapters/sources';
import { forecastStep, type Forecast, type ForecastMemory, type ForecastSettings } from '#domain/forecasting';

/** Digits of a quantile: what a pool counts is never known better. */
const DIGITS = 7;

/**
 * Takes bucket `index` of a trace as the service takes one that has closed, and writes the forecasts made at this origin
 * whose target is bucket `firstTarget` or later: one JSON line per horizon (docs/forecasting.md). Nothing when nothing
 * is known of the latest buckets. Changes the memory in place.
 */
export function linesAt(
  index: number,
  { trace, settings, firstTarget }: { trace: Trace; settings: ForecastSettings; firstTarget: number },
  memory: ForecastMemory,
): string {
  const startMs = trace.startMs + index * trace.stepMs;
  const closed = [{ startMs, arrivals: trace.values[index] ?? null }];
  const { output } = forecastStep({ settings, closed }, memory);
  if (output === undefined) return '';
  const isWanted = (horizonS: number) => index + Math.round(horizonS / settings.bucketS) >= firstTarget;
  return output.horizons
    .filter(({ horizonS }) => isWanted(horizonS))
    .map((horizon) => `${JSON.stringify(lineOf(output, horizon))}\n`)
    .join('');
}

function lineOf({ originMs, bucketS }: Forecast, { horizonS, levels, values }: Forecast['horizons'][number]) {
  const q = Object.fromEntries(
    levels.map((level, i) => [String(level), Number((values[i] as number).toPrecision(DIGITS))]),
  );
  return { origin: new Date(originMs).toISOString().replace('.000Z', 'Z'), bucketS, horizonS, q };
}
