import {
  readable,
  type RecordBatch,
  type RecordObserver,
  type StartOffset,
  type TopicPartition,
} from '#adapters/event-log';
import type { ForecastStore } from '#adapters/store';
import { forecastSchema, type Forecast } from '#domain/forecasting';

/** The newest forecast of each pool: those of the table, and from there the topic. */
export class LatestForecasts {
  private readonly latest = new Map<string, Forecast>();

  constructor(
    private readonly store: Pick<ForecastStore, 'latest' | 'startAt'>,
    private readonly observer: RecordObserver,
  ) {}

  async assigned(partitions: TopicPartition[]): Promise<StartOffset[]> {
    const starts = await this.store.startAt(partitions);
    for (const forecast of await this.store.latest()) this.keep(forecast);
    return starts;
  }

  take(batch: RecordBatch): void {
    const forecasts = readable(batch, (value) => forecastSchema.safeParse(value).data, this.observer);
    for (const forecast of forecasts) this.keep(forecast);
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
