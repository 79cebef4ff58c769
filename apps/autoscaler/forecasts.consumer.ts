import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import type { RecordBatch, StartOffset, TopicPartition } from '#adapters/event-log';
import { LatestForecasts } from './latest-forecasts.js';

/** In the group of demand.v1: who reads a pool's demand reads its forecasts. */
const forecasts = { topic: 'forecasts.v1', group: 'autoscaler' };

@Controller()
export class ForecastsConsumer {
  constructor(private readonly latest: LatestForecasts) {}

  @EventPattern({ ...forecasts, on: 'assigned' })
  assigned(@Payload() partitions: TopicPartition[]): Promise<StartOffset[]> {
    return this.latest.assigned(partitions);
  }

  @EventPattern({ ...forecasts, on: 'revoked' })
  revoked(@Payload() partitions: TopicPartition[]): void {
    this.latest.revoked(partitions);
  }

  @EventPattern(forecasts)
  async take(@Payload() batch: RecordBatch): Promise<void> {
    this.latest.take(batch);
  }
}
