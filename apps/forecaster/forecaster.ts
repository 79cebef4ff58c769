import type { DemandReader } from '#adapters/demand-reader';
import { appendInPieces, type EventLog } from '#adapters/event-log';
import { bucketStartMs, closedArrivals, MAX_AHEAD_MS, sampledToMs } from '#domain/demand';
import type { Forecast } from '#domain/forecasting';
import { workOf, type ForecastStep, type ForecastThread, type StepResult } from './forecast-thread.js';
import { forecastSettings, type DuePool, type ForecastedPool } from './forecasted-pool.js';
import type { PastPiece, PoolPasts } from './pool-pasts.js';
import type { PoolsWithPolicy } from './pools-with-policy.js';

export interface ForecasterObserver {
  forecast(forecast: Forecast): void;
  stepped(step: { pools: number; durationMs: number }): void;
  /** A pool has no forecast for the bucket that closed; it is tried again with its history when the next one has. */
  stepFailed(failure: { pool: string; message: string }): void;
}

export interface ForecasterOptions {
  log: EventLog;
  reader: DemandReader;
  pasts: PoolPasts;
  policies: Pick<PoolsWithPolicy, 'has'>;
  thread: ForecastThread;
  settingsOf(pool: string): ForecastedPool;
  observer: ForecasterObserver;
  nowMs(): number;
}

/** Buckets that closed while nobody looked and still get a forecast of their own; of older ones nobody would read it. */
const MAX_LATE_BUCKETS = 5;
/** Work of one message of buckets that have closed: some three seconds of the thread (docs/benchmarks/decide.md). */
const MAX_MESSAGE_WORK = 500_000;
/**
 * A message that opens pools has this work of pasts that are under way, and as much of others, so that a long one does not
 * keep the rest waiting; each ends with the piece that reaches it. Some 0.2 s, for which buckets that close meanwhile wait.
 */
const OPENING_WORK = 15_000;
/** Pools whose past is looked for in one run. */
const MAX_LOOKED_FOR_PER_RUN = 50;

/** Makes one forecast for every pool with a policy whose bucket has closed. */
export class Forecaster {
  /** End of the newest closed bucket when each pool was last looked at, epoch ms: what its forecast has seen. */
  private readonly seenToMs = new Map<string, number>();

  constructor(private readonly options: ForecasterOptions) {}

  /** First the pools that the thread knows, in messages of their own: opening the others must not keep them waiting. */
  async run(): Promise<void> {
    const { reader, thread, pasts } = this.options;
    const nowMs = this.options.nowMs();
    const behindMs = await reader.behindMs();
    if (behindMs === undefined) return;
    this.forget(reader.takeRenewed());
    this.forgetUnwanted();
    const due = this.duePools(nowMs, behindMs);
    const isOpen = ({ pool }: DuePool) => thread.knows(pool) && !pasts.isUnderWay(pool);
    const [open, closed] = [due.filter(isOpen), due.filter((each) => !isOpen(each))];
    await this.follow(open);
    await this.openSome(closed);
  }

  /** Pools that are read elsewhere now, or of which more is known than was learned. */
  forget(pools: string[]): void {
    if (pools.length === 0) return;
    for (const pool of pools) this.seenToMs.delete(pool);
    this.options.pasts.forget(pools);
    this.options.thread.forget(pools);
  }

  private duePools(nowMs: number, behindMs: number): DuePool[] {
    const { reader, settingsOf, policies } = this.options;
    const wanted = reader.pools().filter((pool) => policies.has(pool));
    return wanted.flatMap((pool) => {
      const settings = settingsOf(pool);
      const knownToMs = sampledToMs(settings.sampledBy ?? [], reader.of(pool)?.chains ?? new Map());
      const countedToMs = Math.min(nowMs - behindMs - settings.settleMs, knownToMs);
      const toMs = bucketStartMs(countedToMs, settings.bucketS);
      this.forgetAhead(pool, nowMs);
      return toMs > this.reachedMs(pool) ? [{ pool, settings, toMs }] : [];
    });
  }

  /** One that gets a policy again starts from its history. */
  private forgetUnwanted(): void {
    const { reader, policies } = this.options;
    const unwanted = reader.pools().filter((pool) => !policies.has(pool));
    const forecast = unwanted.filter((pool) => this.reachedMs(pool) > -Infinity);
    this.forget(forecast);
    for (const pool of forecast) reader.letGo(pool);
  }

  /** Up to where a pool was forecast, or its past given to the thread. */
  private reachedMs(pool: string): number {
    const { pasts } = this.options;
    return Math.max(this.seenToMs.get(pool) ?? -Infinity, pasts.givenToMs(pool) ?? -Infinity);
  }

  /** After the clock was set back the pool starts again from its history: its memory has seen what is yet to come. */
  private forgetAhead(pool: string, nowMs: number): void {
    if (this.reachedMs(pool) > nowMs + MAX_AHEAD_MS) this.forget([pool]);
  }

  private async follow(due: DuePool[]): Promise<void> {
    const { thread } = this.options;
    try {
      for (const message of inMessages(due.flatMap((each) => this.newlyClosed(each)))) {
        // One that failed in the message before has lost its memory.
        const { forecasts } = await this.step(message.filter(({ settings }) => thread.knows(settings.pool)));
        await this.publish(forecasts);
      }
    } catch (error) {
      // Buckets that the thread has taken along have no forecast yet: the one that follows starts with them.
      for (const { pool } of due) if (!thread.knows(pool)) this.seenToMs.delete(pool);
      throw error;
    }
  }

  /** A step for each bucket that has closed since, a few when it was late: with what late events may have corrected. */
  private newlyClosed({ pool, settings, toMs }: DuePool): ForecastStep[] {
    const { bucketS, latenessS, levelsBy } = settings;
    const bucketMs = bucketS * 1000;
    const latenessMs = Math.ceil(latenessS / bucketS) * bucketMs;
    const series = this.options.reader.of(pool);
    const buckets = Math.round((toMs - (this.seenToMs.get(pool) as number)) / bucketMs);
    const late = Math.min(buckets, MAX_LATE_BUCKETS);
    return Array.from({ length: late }, (_, i) => toMs - (late - 1 - i) * bucketMs).flatMap((endMs) => {
      const fromMs = (this.seenToMs.get(pool) as number) - latenessMs;
      this.seenToMs.set(pool, endMs);
      const closed = series === undefined ? [] : closedArrivals({ fromMs, toMs: endMs, levelsBy }, series);
      return closed.length === 0 ? [] : [{ settings: forecastSettings(pool, settings), closed }];
    });
  }

  /** Gives the thread a bounded part of the pasts of pools that it does not know up to now. */
  private async openSome(due: DuePool[]): Promise<void> {
    const pieces = await this.nextPieces(due);
    if (pieces.length === 0) return;
    const { forecasts, failed } = await this.step(pieces.map(({ step }) => step));
    const broken = new Set(failed.map(({ pool }) => pool));
    const opened = new Set<string>();
    for (const piece of pieces) {
      const { pool, toMs } = piece.due;
      if (broken.has(pool)) this.options.pasts.forget([pool]);
      else if (this.options.pasts.given(piece)) opened.add(pool);
      else continue;
      // Also of one that failed: it is tried again when the next bucket has closed.
      this.seenToMs.set(pool, toMs);
    }
    await this.publish(forecasts.filter(({ pool }) => opened.has(pool)));
  }

  /** What was begun goes on; of the others those that were not looked for the longest begin. */
  private async nextPieces(due: DuePool[]): Promise<PastPiece[]> {
    const { thread, pasts } = this.options;
    const isBegun = ({ pool }: DuePool) => thread.knows(pool) && pasts.isUnderWay(pool);
    const lookedAtMs = ({ pool }: DuePool) => this.seenToMs.get(pool) ?? 0;
    const others = due.filter((each) => !isBegun(each));
    others.sort((one, other) => lookedAtMs(one) - lookedAtMs(other));
    return [...(await this.piecesOf(due.filter(isBegun))), ...(await this.piecesOf(others))];
  }

  private async piecesOf(due: DuePool[]): Promise<PastPiece[]> {
    const { pasts } = this.options;
    const pieces: PastPiece[] = [];
    let [work, lookedFor] = [0, 0];
    for (const each of due) {
      if (work >= OPENING_WORK || lookedFor >= MAX_LOOKED_FOR_PER_RUN) break;
      if (!pasts.isKnownEmpty(each.pool)) lookedFor += 1;
      const piece = await pasts.next(each, OPENING_WORK);
      // Without a bucket to see there will be none before the next one has closed.
      if (piece === undefined) this.seenToMs.set(each.pool, each.toMs);
      else pieces.push(piece);
      work += piece === undefined ? 0 : workOf(piece.step);
    }
    return pieces;
  }

  private async step(steps: ForecastStep[]): Promise<StepResult> {
    const { thread, observer } = this.options;
    const startedMs = performance.now();
    const result = await thread.step(steps);
    observer.stepped({ pools: steps.length, durationMs: performance.now() - startedMs });
    for (const failure of result.failed) observer.stepFailed(failure);
    return result;
  }

  private async publish(forecasts: Forecast[]): Promise<void> {
    const { log, observer } = this.options;
    for (const forecast of forecasts) observer.forecast(forecast);
    const records = forecasts.map((forecast) => ({ key: forecast.pool, value: JSON.stringify(forecast) }));
    await appendInPieces(log, 'forecasts.v1', records);
  }
}

/** In order; a message ends with the step that reaches {@link MAX_MESSAGE_WORK}. */
function* inMessages(steps: ForecastStep[]): Generator<ForecastStep[]> {
  let [message, work]: [ForecastStep[], number] = [[], 0];
  for (const step of steps) {
    message.push(step);
    work += workOf(step);
    if (work < MAX_MESSAGE_WORK) continue;
    yield message;
    [message, work] = [[], 0];
  }
  if (message.length > 0) yield message;
}
