import type { DemandReader, Downtime, Uncounted } from '#adapters/demand-reader';
import type { DemandStore } from '#adapters/store';
import {
  bucketStartMs,
  closedArrivals,
  toldToMs,
  trail,
  trailSpan,
  type DemandSeries,
  type TrailedSpan,
} from '#domain/demand';
import type { ScaledPool } from './scaled-pool.js';

/** History for the mean load, in first seasons. */
const MEAN_LOAD_SEASONS = 7;
/** Buckets that one statement sums: some 20 ms, in which the embedded engine does nothing else. */
const BUCKETS_PER_STATEMENT = 20_000;
/** A round begins with no pool after this time. */
const ROUND_MS = 5_000;

export interface MeanLoadsOptions {
  reader: Pick<DemandReader, 'of'>;
  store: Pick<DemandStore, 'firstFrom' | 'faded'>;
  downtime: Pick<Downtime, 'of'>;
  settingsOf(pool: string): ScaledPool;
  nowMs(): number;
}

/**
 * The mean load of pools over their last seasons, which no window of buckets can give: read back from the table beside the
 * decisions, which take the latest rate for it until then.
 */
export class MeanLoads {
  private readonly known = new WeakSet<DemandSeries>();

  constructor(private readonly options: MeanLoadsOptions) {}

  /** Reads the past of the pools of which that was not done, one after the other. Stops between two statements when told to. */
  async read(pools: readonly string[], signal: AbortSignal): Promise<void> {
    const startedMs = performance.now();
    for (const pool of pools) {
      if (signal.aborted || performance.now() - startedMs > ROUND_MS) return;
      const series = this.options.reader.of(pool);
      if (series !== undefined && !this.known.has(series)) await this.readPast(pool, series, signal);
    }
  }

  /** Moves the mean over what has closed since, once its past is in it. */
  follow(pool: string, series: DemandSeries, toMs: number): void {
    if (!this.known.has(series)) return;
    const { levelsBy } = this.options.settingsOf(pool);
    trail(closedArrivals({ fromMs: series.trailing.untilMs, toMs, levelsBy }, series), series);
  }

  /** What closes from now on may not be followed. */
  forget(pool: string): void {
    const series = this.options.reader.of(pool);
    if (series !== undefined) this.known.delete(series);
  }

  private async readPast(pool: string, series: DemandSeries, signal: AbortSignal): Promise<void> {
    const { store, downtime, settingsOf, nowMs } = this.options;
    const settings = settingsOf(pool);
    const { bucketS, seasonsS } = settings;
    const toMs = bucketStartMs(nowMs(), bucketS) - bucketS * 1000;
    const { trailing } = series;
    const seasonsMs = MEAN_LOAD_SEASONS * (seasonsS[0] as number) * 1000;
    const sinceMs = Math.max(toMs - seasonsMs, trailing.untilMs);
    const firstMs = await store.firstFrom({ pool, bucketS, fromMs: sinceMs });
    const uncounted = await downtime.of(pool, settings);
    const spans: TrailedSpan[] = [];
    const fromMs = bucketStartMs(firstMs ?? toMs, bucketS);
    const unknownToMs = toldToMs(series.chains, settings.levelsBy);
    for (const span of spansOf({ fromMs, toMs, uncounted, unknownToMs, bucketS })) {
      if (signal.aborted) return;
      const faded = await store.faded({ pool, bucketS, ...span, halfLifeMs: trailing.halfLifeS * 1000 });
      spans.push({ ...span, faded, areOthersKnown: span.fromMs >= unknownToMs });
    }
    for (const span of spans) trailSpan(span, series);
    trailing.untilMs = Math.max(trailing.untilMs, uncounted?.toMs ?? 0);
    this.known.add(series);
  }
}

/** Pieces of what was counted within [fromMs, toMs), in order; each lies before or behind `unknownToMs`. */
function* spansOf(given: {
  fromMs: number;
  toMs: number;
  uncounted: Uncounted | undefined;
  unknownToMs: number;
  bucketS: number;
}): Generator<{ fromMs: number; toMs: number }> {
  const { fromMs, toMs, uncounted = { fromMs: toMs, toMs }, unknownToMs, bucketS } = given;
  const counted = [
    { fromMs, toMs: Math.min(toMs, uncounted.fromMs) },
    { fromMs: Math.max(fromMs, uncounted.toMs), toMs },
  ];
  const bucketMs = bucketS * 1000;
  const spanMs = BUCKETS_PER_STATEMENT * bucketMs;
  for (const span of counted)
    for (let [startMs, endMs] = [span.fromMs, 0]; startMs < span.toMs; startMs = endMs) {
      endMs = Math.min(startMs + spanMs, span.toMs);
      if (startMs < unknownToMs && unknownToMs < endMs) endMs = Math.ceil(unknownToMs / bucketMs) * bucketMs;
      yield { fromMs: startMs, toMs: endMs };
    }
}
