/** What is forecast: set by the pool's config, the same for the life of a memory. */
export interface ForecastSettings {
  pool: string;
  bucketS: number;
  /** Lengths of the pool's seasons, any order; none: no seasonal expert. */
  seasonsS: number[];
  /** How far ahead; multiples of bucketS, at least one. */
  horizonsS: number[];
  /** Name of an expert whose quantiles come with the input (a model process); none: no place is kept for it. */
  external?: string;
}

/** Farther horizons are refused: forecasts wait for their outcome in memory. */
export const MAX_HORIZON_BUCKETS = 10_000;
/** Longer seasons are left out: 100,000 buckets are a day of seconds, 70 days of minutes, 400 KB. */
export const MAX_SEASON_BUCKETS = 100_000;
/** Past seasons that are looked at: the median of three forgets what happened once. */
export const SEASON_COPIES = 3;

/** A season in buckets, and how many past ones of it are kept. */
export interface Season {
  seasonS: number;
  buckets: number;
  copies: number;
}

/** Averaging lengths in buckets, short to long. */
export interface Windows {
  /** Around a bucket of a past season. */
  shape: number;
  /** What "now" means. */
  level: number;
  /** An hour of a day. */
  middle: number;
  /** Four hours of a day. */
  long: number;
}

/** Settings in buckets; derived, never stored. */
export interface Layout {
  steps: number[];
  /** Shortest first. */
  seasons: Season[];
  windows: Windows;
  /** The shortest season in buckets; without any, a stand-in that sets half-lives. */
  seasonBuckets: number;
}

/** Half-lives of pools without a season are those of a season of this many buckets. */
const DEFAULT_SEASON_BUCKETS = 1440;
/** Past that a new memory is given, in longest seasons: three copies of each to learn from, and a rest. */
const LEARNED_SEASONS = 4.2;

/** Throws a RangeError on settings that break the rules above: a programming error, config was checked before. */
export function layoutOf({ bucketS, seasonsS, horizonsS }: ForecastSettings): Layout {
  if (!(bucketS > 0)) throw new RangeError(`bucketS: > 0, got ${bucketS}`);
  if (horizonsS.length === 0) throw new RangeError('horizonsS: at least one, got none');
  const steps = horizonsS.map((horizonS) => stepsOf(horizonS, bucketS));
  const seasons = seasonsOf(seasonsS, bucketS);
  const seasonBuckets = seasons[0]?.buckets ?? DEFAULT_SEASON_BUCKETS;
  return { steps, seasons, windows: windowsOf(seasonBuckets), seasonBuckets };
}

function stepsOf(horizonS: number, bucketS: number): number {
  const steps = Math.round(horizonS / bucketS);
  if (steps < 1 || steps > MAX_HORIZON_BUCKETS || Math.abs(steps * bucketS - horizonS) > 1e-6 * bucketS) {
    throw new RangeError(
      `horizonsS: 1 to ${MAX_HORIZON_BUCKETS} whole buckets of ${bucketS} s, got ${horizonS}`,
    );
  }
  return steps;
}

/** Seasons of at least two buckets that fit; of all but the shortest only the last one is kept, to bound memory. */
function seasonsOf(seasonsS: readonly number[], bucketS: number): Season[] {
  return [...new Set(seasonsS)]
    .map((seasonS) => ({ seasonS, buckets: Math.round(seasonS / bucketS) }))
    .filter(({ buckets }) => buckets >= 2 && buckets <= MAX_SEASON_BUCKETS)
    .sort((a, b) => a.buckets - b.buckets)
    .map((season, i) => ({ ...season, copies: i === 0 ? copiesThatFit(season.buckets) : 1 }));
}

function copiesThatFit(buckets: number): number {
  return Math.max(1, Math.min(SEASON_COPIES, Math.floor(MAX_SEASON_BUCKETS / buckets)));
}

// Of a day of minutes: 5, 15, 60 and 240. A season of fewer buckets shortens them, so that an "hour" stays a 24th.
function windowsOf(seasonBuckets: number): Windows {
  return {
    shape: between(1, seasonBuckets / 100, 5),
    level: between(3, seasonBuckets / 96, 15),
    middle: between(6, seasonBuckets / 24, 60),
    long: between(12, seasonBuckets / 6, 240),
  };
}

function between(least: number, wanted: number, most: number): number {
  return Math.round(Math.max(least, Math.min(wanted, most)));
}

/** Buckets that must be kept so that every expert finds what it reads, also at the origin of a forecast due now. */
export function historyBuckets({ steps, seasons, windows }: Layout): number {
  const farthest = Math.max(...steps);
  const back = seasons.map(({ buckets, copies }) => (copies + Math.floor(farthest / buckets)) * buckets);
  return Math.max(windows.long, ...back) + farthest + windows.level + windows.shape;
}

/** How many closed buckets a new memory is worth being given, counted from the season that is longest and fits: at most 420,000. */
export function learnedBuckets(given: { bucketS: number; seasonsS: readonly number[] }): number {
  const longest = seasonsOf(given.seasonsS, given.bucketS).at(-1)?.buckets ?? DEFAULT_SEASON_BUCKETS;
  return Math.ceil(LEARNED_SEASONS * longest);
}
