import {
  readable,
  type EventLog,
  type RecordBatch,
  type RecordObserver,
  type StartOffset,
  type TopicPartition,
} from '#adapters/event-log';
import type { ForecastStore } from '#adapters/store';
import { forecastSchema, type Forecast } from '#domain/forecasting';

const TOPIC = 'forecasts.v1';

/** The newest forecast of each pool that is read here: those of the table, and from there the topic. */
export class LatestForecasts {
  private readonly latest = new Map<string, Forecast>();
  private readonly partitions = new Set<number>();

  constructor(
    private readonly log: Pick<EventLog, 'partitionOf'>,
    private readonly store: Pick<ForecastStore, 'latest' | 'startAt'>,
    private readonly observer: RecordObserver,
  ) {}

  async assigned(partitions: TopicPartition[]): Promise<StartOffset[]> {
    const starts = await this.store.startAt(partitions);
    const own = new Set(partitions.map(({ partition }) => partition));
    for (const forecast of await this.store.latest())
      if (own.has(this.partitionOf(forecast.pool))) this.keep(forecast);
    for (const partition of own) this.partitions.add(partition);
    return starts;
  }

  revoked(partitions: TopicPartition[]): void {
    for (const { partition } of partitions) this.partitions.delete(partition);
    for (const pool of this.latest.keys()) if (!this.owns(pool)) this.latest.delete(pool);
  }

  take(batch: RecordBatch): void {
    const forecasts = readable(batch, (value) => forecastSchema.safeParse(value).data, this.observer);
    for (const forecast of forecasts) this.keep(forecast);
  }

  get(pool: string): Forecast | undefined {
    return this.latest.get(pool);
  }

  /** True when forecasts of the pool are read here. */
  owns(pool: string): boolean {
    return this.partitions.has(this.partitionOf(pool));
  }

  private partitionOf(key: string): number {
    return this.log.partitionOf({ topic: TOPIC, key });
  }

  /** A forecast that is read again never replaces a newer one. */
  private keep(forecast: Forecast): void {
    const known = this.latest.get(forecast.pool);
    if (known === undefined || known.originMs <= forecast.originMs) this.latest.set(forecast.pool, forecast);
  }
}
