import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { DemandReader } from '#adapters/demand-reader';
import type { RecordBatch, StartOffset, TopicPartition } from '#adapters/event-log';
import { Forecaster } from './forecaster.js';

const demand = { topic: 'demand.v1', group: 'forecaster' };

@Controller()
export class DemandConsumer {
  constructor(
    private readonly reader: DemandReader,
    private readonly forecaster: Forecaster,
  ) {}

  @EventPattern({ ...demand, on: 'assigned' })
  assigned(@Payload() partitions: TopicPartition[]): Promise<StartOffset[]> {
    return this.reader.assigned(partitions);
  }

  @EventPattern({ ...demand, on: 'revoked' })
  async revoked(@Payload() partitions: TopicPartition[]): Promise<void> {
    const before = this.reader.pools();
    this.reader.revoked(partitions);
    this.forecaster.forget(before.filter((pool) => !this.reader.owns(pool)));
  }

  @EventPattern(demand)
  async take(@Payload() batch: RecordBatch): Promise<void> {
    this.reader.take(batch);
  }
}
