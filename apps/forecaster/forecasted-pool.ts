import type { ForecastSettings } from '#domain/forecasting';

/** What the forecaster must know of a pool. */
export interface ForecastedPool {
  bucketS: number;
  seasonsS: readonly number[];
  /** Wait after a bucket's end before it is used provisionally, ms. */
  settleMs: number;
  /** Events so late still correct the history of later forecasts, seconds. */
  latenessS: number;
  /** Longest lead time that forecasts must cover, seconds. */
  leadTimeS: number;
  /** Partitions of the sources that measure it: beyond what they have told it is not known. */
  sampledBy?: readonly number[];
}

/** A pool of which a bucket has closed that was not forecast. */
export interface DuePool {
  pool: string;
  settings: ForecastedPool;
  /** End of its newest closed bucket, epoch ms. */
  toMs: number;
}

/** Forecasts of one pool: beyond this many horizons only every n-th is made, the last always. */
const MAX_HORIZONS = 24;

export function forecastSettings(pool: string, settings: ForecastedPool): ForecastSettings {
  const { bucketS, seasonsS } = settings;
  return { pool, bucketS, seasonsS: [...seasonsS], horizonsS: horizonsOf(settings) };
}

/** Every horizon a decision may look at: from the next bucket to the one after the lead time. */
export function horizonsOf({ bucketS, leadTimeS }: Pick<ForecastedPool, 'bucketS' | 'leadTimeS'>): number[] {
  const last = Math.ceil(leadTimeS / bucketS) + 1;
  const stride = Math.ceil(last / MAX_HORIZONS);
  const horizons: number[] = [];
  for (let horizon = last; horizon > 0; horizon -= stride) horizons.unshift(horizon * bucketS);
  return horizons;
}
