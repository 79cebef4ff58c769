import type { EventLog, RecordBatch, StartOffset, TopicPartition } from '#adapters/event-log';
import type { DemandStore } from '#adapters/store';
import {
  applyPartial,
  newDemandSeries,
  putBucket,
  WINDOW_BUCKETS,
  type Applied,
  type DemandPartial,
  type DemandSeries,
} from '#domain/demand';

export interface DemandReaderOptions {
  log: EventLog;
  store: Pick<DemandStore, 'snapshot'>;
  settingsOf(pool: string): { bucketS: number; seasonsS: readonly number[] };
  /** Each message by what became of it. `gap`: messages in between are missing, demand is undercounted. */
  observe(outcome: Applied['outcome'], partial: DemandPartial): void;
  nowMs(): number;
}

/**
 * The demand of the pools whose messages lie in the partitions a service was given: a snapshot of the table, and from
 * there the topic.
 */
export class DemandReader {
  private readonly series = new Map<string, DemandSeries>();
  private readonly positions = new Map<number, number>();

  constructor(
    private readonly topic: string,
    private readonly options: DemandReaderOptions,
  ) {}

  async assigned(partitions: TopicPartition[]): Promise<StartOffset[]> {
    const { log, store, settingsOf, nowMs } = this.options;
    const own = new Set(partitions.map(({ partition }) => partition));
    const { offsets, pools } = await store.snapshot({
      pools: (pool) => own.has(log.partitionOf({ topic: this.topic, key: pool })),
      fromMs: (pool) => nowMs() - WINDOW_BUCKETS * settingsOf(pool).bucketS * 1000,
    });
    for (const { pool, chains, buckets } of pools) {
      const series = this.newSeries(pool);
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
    for (const pool of this.series.keys()) if (!this.owns(pool)) this.series.delete(pool);
  }

  take({ partition, records }: RecordBatch): void {
    for (const { value, offset } of records) {
      this.positions.set(partition, offset + 1);
      if (value === null) continue;
      const partial = JSON.parse(value) as DemandPartial;
      const series = this.series.get(partial.pool) ?? this.newSeries(partial.pool);
      this.options.observe(applyPartial(partial, series).outcome, partial);
    }
  }

  /** Pools that have ever had demand, of the partitions read here. */
  pools(): string[] {
    return [...this.series.keys()];
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
   * and what it has counted and was not read yet.
   */
  async behindMs(): Promise<number> {
    const ingest = this.options.log.lag({ group: 'ingest', topic: 'executions.v1' });
    const [uncounted, unreadMs] = await Promise.all([ingest, this.unreadMs()]);
    return Math.max(uncounted.ageMs, unreadMs);
  }

  private async unreadMs(): Promise<number> {
    const { log, nowMs } = this.options;
    let oldestMs = Infinity;
    for (const [partition, offset] of this.positions) {
      const [unread] = await log.read({ topic: this.topic, partition, offset, maxRecords: 1 });
      if (unread !== undefined) oldestMs = Math.min(oldestMs, unread.timestampMs);
    }
    return oldestMs === Infinity ? 0 : Math.max(0, nowMs() - oldestMs);
  }

  private newSeries(pool: string): DemandSeries {
    const { bucketS, seasonsS } = this.options.settingsOf(pool);
    const series = newDemandSeries({ bucketS, seasonS: seasonsS[0] as number });
    this.series.set(pool, series);
    return series;
  }
}
