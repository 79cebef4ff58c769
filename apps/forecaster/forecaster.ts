import type { DemandReader } from '#adapters/demand-reader';
import type { EventLog } from '#adapters/event-log';
import type { DemandStore } from '#adapters/store';
import { bucketStartMs, closedArrivals, MAX_AHEAD_MS, sampledToMs } from '#domain/demand';
import type { Forecast } from '#domain/forecasting';
import type { ForecastStep, ForecastThread } from './forecast-thread.js';

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

export interface ForecasterObserver {
  forecast(forecast: Forecast): void;
  stepped(step: { pools: number; durationMs: number }): void;
  /** A pool has no forecast for the bucket that closed; it is tried again with its history when the next one has. */
  stepFailed(failure: { pool: string; message: string }): void;
}

export interface ForecasterOptions {
  log: EventLog;
  reader: DemandReader;
  store: Pick<DemandStore, 'arrivalsSince'>;
  thread: ForecastThread;
  settingsOf(pool: string): ForecastedPool;
  observer: ForecasterObserver;
  nowMs(): number;
}

/** History that is read back when a pool is opened, in longest seasons: three copies of each to learn from, and a rest. */
const HISTORY_SEASONS = 4.2;
/** A bound of that for short seasons and for small buckets in long ones. */
const MAX_HISTORY_BUCKETS = 40_320;
/** Pools that are opened in one run, so that a start with many pools keeps the others in time. */
const MAX_OPENED_PER_RUN = 200;
/** Forecasts of one pool: beyond this many horizons only every n-th is made, the last always. */
const MAX_HORIZONS = 24;

/** Makes one forecast for every pool whose bucket has closed. */
export class Forecaster {
  /** End of the newest closed bucket when each pool was last looked at, epoch ms: what its forecast has seen. */
  private readonly seenToMs = new Map<string, number>();
  /** Where the next run begins: each pool has its turn, however many are opened before it. */
  private nextPool = 0;

  constructor(private readonly options: ForecasterOptions) {}

  async run(): Promise<void> {
    const { log, thread, observer } = this.options;
    const steps = await this.dueSteps();
    if (steps.length === 0) return;
    const startedMs = performance.now();
    const { forecasts, failed } = await thread.step(steps).catch((error: unknown) => {
      // These buckets have no forecast yet: the thread that follows starts with them.
      for (const { settings } of steps) this.seenToMs.delete(settings.pool);
      throw error;
    });
    observer.stepped({ pools: steps.length, durationMs: performance.now() - startedMs });
    for (const failure of failed) observer.stepFailed(failure);
    for (const forecast of forecasts) observer.forecast(forecast);
    const records = forecasts.map((forecast) => ({ key: forecast.pool, value: JSON.stringify(forecast) }));
    if (records.length > 0) await log.append('forecasts.v1', records);
  }

  /** Pools that are read elsewhere now. */
  forget(pools: string[]): void {
    for (const pool of pools) this.seenToMs.delete(pool);
    this.options.thread.forget(pools);
  }

  private async dueSteps(): Promise<ForecastStep[]> {
    const { reader, thread, settingsOf } = this.options;
    const nowMs = this.options.nowMs();
    const behindMs = await reader.behindMs();
    if (behindMs === undefined) return [];
    const steps: ForecastStep[] = [];
    const pools = reader.pools();
    const first = this.nextPool;
    let opened = 0;
    for (let i = 0; i < pools.length; i++) {
      const turn = (first + i) % pools.length;
      const pool = pools[turn] as string;
      const settings = settingsOf(pool);
      const knownToMs = sampledToMs(settings.sampledBy ?? [], reader.of(pool)?.chains ?? new Map());
      const countedToMs = Math.min(nowMs - behindMs - settings.settleMs, knownToMs);
      const toMs = bucketStartMs(countedToMs, settings.bucketS);
      this.forgetAhead(pool, nowMs);
      if (toMs <= (this.seenToMs.get(pool) ?? -Infinity)) continue;
      const known = thread.knows(pool);
      if (!known && opened >= MAX_OPENED_PER_RUN) continue;
      if (!known && ++opened === MAX_OPENED_PER_RUN) this.nextPool = turn + 1;
      const closed = known ? this.newlyClosed(pool, toMs) : await this.history(pool, toMs);
      // Also without a bucket to see: there will be none before the next one has closed.
      this.seenToMs.set(pool, toMs);
      if (closed.length > 0) steps.push({ settings: forecastSettings(pool, settings), closed });
    }
    return steps;
  }

  /** After the clock was set back the pool starts again from its history: its memory has seen what is yet to come. */
  private forgetAhead(pool: string, nowMs: number): void {
    if ((this.seenToMs.get(pool) ?? -Infinity) > nowMs + MAX_AHEAD_MS) this.forget([pool]);
  }

  /** What has closed since, and before it what late events may have corrected. */
  private newlyClosed(pool: string, toMs: number): ForecastStep['closed'] {
    const series = this.options.reader.of(pool);
    const { bucketS, latenessS } = this.options.settingsOf(pool);
    const fromMs = (this.seenToMs.get(pool) as number) - Math.ceil(latenessS / bucketS) * bucketS * 1000;
    return series === undefined ? [] : closedArrivals({ fromMs, toMs }, series);
  }

  /** The table first, then what the reader has seen since; a bucket without events counts as empty. */
  private async history(pool: string, toMs: number): Promise<ForecastStep['closed']> {
    const { bucketS, seasonsS } = this.options.settingsOf(pool);
    const bucketMs = bucketS * 1000;
    const longestMs = (seasonsS.at(-1) as number) * 1000;
    const wantedMs = Math.min(HISTORY_SEASONS * longestMs, MAX_HISTORY_BUCKETS * bucketMs);
    const rows = await this.options.store.arrivalsSince({ pool, bucketS, fromMs: toMs - wantedMs });
    const series = this.options.reader.of(pool);
    const wholeFromMs = series?.wholeFromMs ?? -Infinity;
    const recent = [...(series?.buckets.values() ?? [])].filter(({ startMs }) => startMs >= wholeFromMs);
    const arrivals = new Map([...rows, ...recent].map((bucket) => [bucket.startMs, bucket.arrivals]));
    const closed: ForecastStep['closed'] = [];
    const firstMs = Math.max(Math.min(...arrivals.keys()), toMs - wantedMs);
    for (let startMs = bucketStartMs(firstMs, bucketS); startMs < toMs; startMs += bucketMs)
      closed.push({ startMs, arrivals: arrivals.get(startMs) ?? 0 });
    return closed;
  }
}

function forecastSettings(pool: string, settings: ForecastedPool): ForecastStep['settings'] {
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
