import { bucketsOf, SEASONS_S, type Series } from '../series.js';
import { fourier } from './fourier.js';
import { lastValue, type Points } from './points.js';

// Crane's DSP prediction with its default estimators: when the latest two weeks repeat by the day, or else by the week,
// their strongest waves go on. Given the benefit of the doubt: its forecast of each bucket is taken, not the greatest of
// the next hour, which is what it exports.

const HISTORY_S = 14 * 86_400;
const REFIT_S = 12 * 3600;
/** A period must be a peak of the autocorrelation among lags up to four hours away. */
const LEAST_CORRELATION = 0.1;
const PEAK_REACH_S = 4 * 3600;
const PEAK_STEP_S = 1800;
/** Waves slower than an hour stay whatever their amplitude. */
const FAST_S = 3600;
const MOST_WAVES = 100;
const LEAST_VALUE = 0.01;

/** Which waves stay: the strongest ones, at least so many, and those of an amplitude. */
interface Filter {
  fewestWaves: number;
  lowAmplitude: number;
}
const FILTERS: Filter[] = [
  { fewestWaves: 3, lowAmplitude: 1 },
  { fewestWaves: 50, lowAmplitude: 0.05 },
];
const MARGINS = [0.01, 0.1, 0.15, 0.2];

/** Per horizon. While nothing is periodic it has no forecast, and the HPA that it feeds sees the last value. */
export function craneDsp(series: Series): Points[] {
  const { values } = series;
  const perHorizon = series.steps.map((steps) => lastValue(series, steps));
  const [refit, kept] = [REFIT_S, HISTORY_S].map((s) => bucketsOf(series, s)) as [number, number];
  for (let now = refit; now < values.length; now += refit) {
    const cycle = predictedCycle(values.subarray(Math.max(0, now - kept), now), series);
    if (cycle === undefined) continue;
    // Made when bucket now − 1 closed, used until the next one is.
    series.steps.forEach((steps, horizon) => {
      const [from, to] = [now - 1 + steps, Math.min(now - 1 + steps + refit, values.length)];
      for (let target = from; target < to; target++)
        (perHorizon[horizon] as Points)[target] = cycle[(target - now) % cycle.length] as number;
    });
  }
  return perHorizon;
}

function predictedCycle(history: Float64Array, series: Pick<Series, 'bucketS'>): Float64Array | undefined {
  const filled = withoutGaps(history);
  const period = SEASONS_S.map((seasonS) => bucketsOf(series, seasonS)).find(
    (buckets) => filled.length >= 2 * buckets && isPeriod(filled, buckets, series),
  );
  if (period === undefined) return undefined;
  const signal = filled.subarray(filled.length % period);
  const latest = signal.subarray(-period);
  const tried = wavesOf(signal.subarray(0, -period), { period, ...series }).flatMap((cycle, filter) =>
    MARGINS.map((margin) => ({ filter, margin, error: predictionError(latest, above(cycle, margin)) })),
  );
  const best = tried.reduce((least, one) => (one.error < least.error ? one : least));
  return above(wavesOf(signal, { period, ...series })[best.filter] as Float64Array, best.margin);
}

const above = (cycle: Float64Array, margin: number) => cycle.map((y) => (1 + margin) * y);

function isPeriod(signal: Float64Array, lag: number, series: Pick<Series, 'bucketS'>): boolean {
  const here = autocorrelation(signal, lag);
  if (!(here > LEAST_CORRELATION)) return false;
  const [step, reach] = [PEAK_STEP_S, PEAK_REACH_S].map((s) => bucketsOf(series, s)) as [number, number];
  for (let away = step; away <= reach; away += step) {
    if (autocorrelation(signal, lag - away) > here || autocorrelation(signal, lag + away) > here)
      return false;
  }
  return true;
}

function autocorrelation(signal: Float64Array, lag: number): number {
  const mean = signal.reduce((sum, y) => sum + y, 0) / signal.length;
  let [product, square] = [0, 0];
  for (let t = 0; t < signal.length; t++) {
    const y = (signal[t] as number) - mean;
    square += y * y;
    if (t >= lag) product += y * ((signal[t - lag] as number) - mean);
  }
  return product / square;
}

/** The last cycle of the signal, per filter of the waves that pass it. */
function wavesOf(
  signal: Float64Array,
  { period, bucketS }: { period: number; bucketS: number },
): Float64Array[] {
  const n = signal.length;
  const { re, im } = fourier({ re: signal, im: new Float64Array(n) }, -1);
  const amplitudes = re.map((y, k) => Math.hypot(y, im[k] as number) / n);
  return FILTERS.map((filter) => {
    const least = leastAmplitude(amplitudes, filter);
    const stays = (amplitude: number, k: number) =>
      amplitude >= least || Math.min(k, n - k) / (n * bucketS) <= 1 / FAST_S;
    const passed = (part: Float64Array) => part.map((y, k) => (stays(amplitudes[k] as number, k) ? y : 0));
    const back = fourier({ re: passed(re), im: passed(im) }, 1).re.subarray(n - period);
    return back.map((y) => Math.max(LEAST_VALUE, y / n));
  });
}

function leastAmplitude(amplitudes: Float64Array, { fewestWaves, lowAmplitude }: Filter): number {
  const strongest = amplitudes
    .slice(1, amplitudes.length >> 1)
    .sort()
    .reverse();
  const among = (wave: number) => strongest[Math.min(wave, strongest.length) - 1] as number;
  return Math.min(among(fewestWaves), Math.max(among(MOST_WAVES), lowAmplitude));
}

/** Mean relative error, in which a forecast that is too low counts more the lower it is. */
function predictionError(actual: Float64Array, predicted: Float64Array): number {
  let sum = 0;
  actual.forEach((y, t) => {
    const p = predicted[t] as number;
    if (y < LEAST_VALUE) sum += Math.abs(p - y);
    else sum += p >= y ? (p - y) / y : -Math.log(1 - (y - p) / y) / Math.log(1.25);
  });
  return sum / actual.length;
}

/** Missing buckets on a straight line between those around them. */
function withoutGaps(history: Float64Array): Float64Array {
  const filled = Float64Array.from(history);
  let before = -1;
  for (let t = 0; t < filled.length; t++) {
    if (Number.isNaN(filled[t])) continue;
    const from = before === -1 ? (filled[t] as number) : (filled[before] as number);
    const slope = ((filled[t] as number) - from) / (t - before);
    for (let gap = before + 1; gap < t; gap++) filled[gap] = from + slope * (gap - before);
    before = t;
  }
  return filled.fill(before === -1 ? 0 : (filled[before] as number), before + 1);
}
