import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import {
  readable,
  RecordObserver,
  type RecordBatch,
  type StartOffset,
  type StoredRecord,
  type TopicPartition,
} from '#adapters/event-log';
import { ForecastStore } from '#adapters/store';
import { forecastSchema } from '#domain/forecasting';

const table = { topic: 'forecasts.v1', group: 'forecast-table' };

/** The table of forecasts: rows and offset in one transaction of the store. */
@Controller()
export class ForecastTableConsumer {
  constructor(
    private readonly store: ForecastStore,
    private readonly observer: RecordObserver,
  ) {}

  @EventPattern({ ...table, on: 'assigned' })
  assigned(@Payload() partitions: TopicPartition[]): Promise<StartOffset[]> {
    return this.store.startAt(partitions);
  }

  @EventPattern(table)
  async write(@Payload() batch: RecordBatch): Promise<void> {
    const { topic, partition, from, records } = batch;
    const made = readable(batch, (value) => forecastSchema.safeParse(value).data, this.observer);
    const nextOffset = (records.at(-1) as StoredRecord).offset + 1;
    await this.store.write({ made, step: { topic, partition, from, nextOffset } });
  }
}
