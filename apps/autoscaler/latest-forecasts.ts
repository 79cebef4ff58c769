import type { RecordBatch, StartOffset, TopicPartition } from '#adapters/event-log';
import type { ForecastStore } from '#adapters/store';
import { forecastSchema, type Forecast } from '#domain/forecasting';

/** The newest forecast of each pool: those of the table, and from there the topic. */
export class LatestForecasts {
  private readonly latest = new Map<string, Forecast>();

  constructor(private readonly store: Pick<ForecastStore, 'latest' | 'startAt'>) {}

  async assigned(partitions: TopicPartition[]): Promise<StartOffset[]> {
    const starts = await this.store.startAt(partitions);
    for (const forecast of await this.store.latest()) this.keep(forecast);
    return starts;
  }

  take({ records }: RecordBatch): void {
    for (const { value } of records) {
      if (value === null) continue;
      const forecast = forecastSchema.safeParse(JSON.parse(value));
      if (forecast.success) this.keep(forecast.data);
    }
  }

  get(pool: string): Forecast | undefined {
    return this.latest.get(pool);
  }

  /** A forecast that is read again never replaces a newer one. */
  private keep(forecast: Forecast): void {
    const known = this.latest.get(forecast.pool);
    if (known === undefined || known.originMs <= forecast.originMs) this.latest.set(forecast.pool, forecast);
  }
}
