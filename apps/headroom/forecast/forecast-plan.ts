import { parseDateTime, type Trace } from '#adapters/sources';
import { MAX_HORIZON_BUCKETS } from '#domain/forecasting';
import { parseDurationS } from '../commands/duration.js';

/** What to forecast of a trace, as typed. */
export interface TypedPlan {
  horizons: string;
  from: string;
  seasons: string;
}

export interface ForecastPlan {
  /** Rising. */
  horizonsS: number[];
  seasonsS: number[];
  /** Index of the first bucket whose forecasts are wanted. */
  firstTarget: number;
}

export type ReadPlan = { ok: true; plan: ForecastPlan } | { ok: false; problem: string };

/** The longest season that may be asked for is a year. */
const MAX_SEASON_S = 366 * 86_400;
const MAX_HORIZONS = 100;

/** Reads the options of `headroom forecast` for a trace; `problem` is `option: rule, got actual`. */
export function readPlan(typed: TypedPlan, trace: Trace): ReadPlan {
  const bucketS = trace.stepMs / 1000;
  const horizons = horizonsOf(typed.horizons, bucketS);
  if (typeof horizons === 'string') return { ok: false, problem: horizons };
  const seasons = seasonsOf(typed.seasons, bucketS);
  if (typeof seasons === 'string') return { ok: false, problem: seasons };
  const firstTarget = firstTargetOf(typed.from, trace);
  if (typeof firstTarget === 'string') return { ok: false, problem: firstTarget };
  return { ok: true, plan: { horizonsS: horizons, seasonsS: seasons, firstTarget } };
}

function horizonsOf(text: string, bucketS: number): number[] | string {
  const steps: number[] = [];
  for (const typed of text.split(',')) {
    const buckets = bucketsOf(typed.trim(), bucketS);
    if (buckets === undefined)
      return `--horizons: must be durations such as 5m or buckets such as 3b, got ${typed}`;
    if (!isWhole(buckets) || Math.round(buckets) < 1 || Math.round(buckets) > MAX_HORIZON_BUCKETS)
      return `--horizons: must be 1 to ${MAX_HORIZON_BUCKETS} whole buckets of ${bucketS} s, got ${typed.trim()}`;
    steps.push(Math.round(buckets));
  }
  if (steps.length > MAX_HORIZONS) return `--horizons: must be at most ${MAX_HORIZONS}, got ${steps.length}`;
  return [...new Set(steps)].toSorted((a, b) => a - b).map((buckets) => buckets * bucketS);
}

function bucketsOf(typed: string, bucketS: number): number | undefined {
  const inBuckets = /^(\d+)b$/.exec(typed);
  if (inBuckets !== null) return Number(inBuckets[1]);
  const durationS = parseDurationS(typed);
  return durationS === undefined ? undefined : durationS / bucketS;
}

function seasonsOf(text: string, bucketS: number): number[] | string {
  if (text === 'none') return [];
  const seasonsS: number[] = [];
  for (const typed of text.split(',')) {
    const seasonS = typed.trim() === '1w' ? 7 * 86_400 : parseDurationS(typed);
    if (seasonS === undefined || seasonS > MAX_SEASON_S)
      return `--seasons: must be none, or durations such as 1d,7d of at most a year, got ${typed}`;
    if (!isWhole(seasonS / bucketS)) return `--seasons: must be whole buckets of ${bucketS} s, got ${typed}`;
    seasonsS.push(seasonS);
  }
  return [...new Set(seasonsS)].toSorted((a, b) => a - b);
}

function firstTargetOf(text: string, { startMs, stepMs, values }: Trace): number | string {
  const share = Number(text);
  if (text.trim() !== '' && share >= 0 && share < 1) return Math.ceil(share * values.length);
  const atMs = parseDateTime(text);
  if (atMs === undefined)
    return `--from: must be a share in [0, 1) or a date-time such as 1998-06-10T12:00, got ${text}`;
  const index = Math.ceil((atMs - startMs) / stepMs);
  if (index < values.length) return Math.max(0, index);
  return `--from: must lie before the end of the trace, got ${text}`;
}

const isWhole = (buckets: number) => Math.abs(buckets - Math.round(buckets)) < 1e-6;
