import type { EventLog, RecordBatch, StartOffset, TopicPartition } from '#adapters/event-log';
import type { DemandStore } from '#adapters/store';
import {
  applyPartial,
  bucketStartMs,
  letGo,
  MAX_AHEAD_MS,
  newDemandSeries,
  parsePartial,
  putBucket,
  resumeDropped,
  WINDOW_BUCKETS,
  type Applied,
  type DemandSeries,
  type OffsetRange,
  type TrailingMean,
} from '#domain/demand';

export interface DemandReaderOptions {
  log: EventLog;
  store: Pick<DemandStore, 'snapshot'>;
  settingsOf(pool: string): { bucketS: number; seasonsS: readonly number[] };
  /**
   * Each message by what became of it. `gap`: messages in between are missing, demand is undercounted. `other-length`: its
   * buckets are not of the pool's length. `unreadable`: it is no partial and was left out; its pool is the record's key, its range that of its own topic.
   */
  observe(outcome: Applied['outcome'] | 'unreadable', message: { pool: string; range: OffsetRange }): void;
  nowMs(): number;
  /** Never goes back, ms from any start; default: the process's. */
  uptimeMs?: () => number;
}

/**
 * The demand of the pools whose messages lie in the partitions a service was given: a snapshot of the table, and from
 * there the topic.
 */
export class DemandReader {
  private readonly series = new Map<string, DemandSeries>();
  private readonly positions = new Map<number, number>();
  private droppedTo: ReadonlyMap<number, number> = new Map();
  /** Of pools that were read here before: a mean over seasons cannot be had from a window of buckets. */
  private readonly trailings = new Map<string, TrailingMean>();
  /** Pools whose past was brought in since somebody asked. */
  private readonly renewed = new Set<string>();
  /** Uptime since when there have been unread records whose age the clock denies. */
  private agelessSinceMs: number | undefined;

  constructor(
    private readonly topic: string,
    private readonly options: DemandReaderOptions,
  ) {}

  async assigned(partitions: TopicPartition[]): Promise<StartOffset[]> {
    const { log, store, settingsOf, nowMs } = this.options;
    const own = new Set(partitions.map(({ partition }) => partition));
    const { offsets, droppedTo, pools } = await store.snapshot({
      pools: (pool) => own.has(log.partitionOf({ topic: this.topic, key: pool })),
      span: (pool) => {
        const { bucketS } = settingsOf(pool);
        const fromMs = nowMs() - WINDOW_BUCKETS * bucketS * 1000;
        return { bucketS, fromMs, toMs: nowMs() + MAX_AHEAD_MS };
      },
    });
    this.droppedTo = droppedTo;
    for (const { pool, chains, fromMs, buckets } of pools) {
      const series = this.newSeries(pool);
      // Of buckets that have just got their length the one under way is not known as a whole.
      series.wholeFromMs = Math.min(fromMs, endOfBucketMs(nowMs(), series.bucketS));
      for (const bucket of buckets) putBucket(bucket, series);
      for (const { partition, nextOffset: to, backlog, inFlight } of chains)
        series.chains.set(partition, { to, backlog, inFlight });
    }
    return partitions.map(({ topic, partition }) => {
      const kept = offsets.find((offset) => offset.topic === topic && offset.partition === partition);
      this.positions.set(partition, kept?.nextOffset ?? 0);
      return { topic, partition, offset: kept?.nextOffset ?? 0 };
    });
  }

  revoked(partitions: TopicPartition[]): void {
    for (const { partition } of partitions) this.positions.delete(partition);
    for (const [pool, { trailing }] of this.series) {
      if (this.owns(pool)) continue;
      this.trailings.set(pool, trailing);
      this.series.delete(pool);
    }
  }

  take({ partition, records }: RecordBatch): void {
    for (const record of records) {
      this.positions.set(partition, record.offset + 1);
      if (record.value !== null) this.apply(partition, record.value, record);
    }
  }

  /** Pools that have ever had demand, of the partitions read here. */
  pools(): string[] {
    return [...this.series.keys()];
  }

  /** Pools whose past has changed, each once: what was learned from it is out of date. */
  takeRenewed(): string[] {
    const renewed = [...this.renewed];
    this.renewed.clear();
    return renewed;
  }

  /** Keeps no more of a pool that has lost its policy than how far its demand was read. */
  letGo(pool: string): void {
    const series = this.series.get(pool);
    if (series !== undefined) letGo(series, this.options.nowMs());
  }

  of(pool: string): DemandSeries | undefined {
    return this.series.get(pool);
  }

  /** True when messages of the pool are read here. */
  owns(pool: string): boolean {
    return this.positions.has(this.options.log.partitionOf({ topic: this.topic, key: pool }));
  }

  /**
   * Age of the oldest event that is not in the demand held here, ms; 0 when there is none: what ingest has not counted,
   * and what it has counted and was not read yet. Undefined, i.e. unknown, while no partition is assigned.
   *
   * A clock that was set back gives such an event no age: then it is as old as it has been seen to have none.
   */
  async behindMs(): Promise<number | undefined> {
    if (this.positions.size === 0) return undefined;
    const ingest = this.options.log.lag({ group: 'ingest', topic: 'executions.v1' });
    const [uncounted, unreadMs] = await Promise.all([ingest, this.unreadMs()]);
    const isBehind = uncounted.records > 0 || unreadMs !== undefined;
    const ageMs = Math.max(uncounted.ageMs, unreadMs ?? 0);
    if (!isBehind || ageMs > 0) {
      this.agelessSinceMs = undefined;
      return ageMs;
    }
    const { uptimeMs = () => performance.now() } = this.options;
    this.agelessSinceMs ??= uptimeMs();
    return Math.max(1, uptimeMs() - this.agelessSinceMs);
  }

  private apply(partition: number, value: string, { key, offset }: { key: string; offset: number }): void {
    const { observe, nowMs } = this.options;
    const partial = parsePartial(value);
    if (partial === undefined)
      return observe('unreadable', { pool: key, range: { partition, from: offset, to: offset + 1 } });
    const series = this.series.get(partial.pool) ?? this.newSeries(partial.pool);
    resumeDropped(partial, series.chains, this.droppedTo);
    observe(applyPartial(partial, series, nowMs()).outcome, partial);
    if (partial.history === true) this.renewed.add(partial.pool);
  }

  /** Age of the oldest record that was not read, ms; undefined: every one was. */
  private async unreadMs(): Promise<number | undefined> {
    const { log, nowMs } = this.options;
    let oldestMs = Infinity;
    for (const [partition, offset] of this.positions) {
      const [unread] = await log.read({ topic: this.topic, partition, offset, maxRecords: 1 });
      if (unread !== undefined) oldestMs = Math.min(oldestMs, unread.timestampMs);
    }
    return oldestMs === Infinity ? undefined : Math.max(0, nowMs() - oldestMs);
  }

  private newSeries(pool: string): DemandSeries {
    const { bucketS, seasonsS } = this.options.settingsOf(pool);
    const series = newDemandSeries({ bucketS, seasonS: seasonsS[0] as number });
    const trailing = this.series.get(pool)?.trailing ?? this.trailings.get(pool);
    if (trailing !== undefined) series.trailing = trailing;
    this.trailings.delete(pool);
    this.series.set(pool, series);
    return series;
  }
}

function endOfBucketMs(timeMs: number, bucketS: number): number {
  return bucketStartMs(timeMs, bucketS) + bucketS * 1000;
}
