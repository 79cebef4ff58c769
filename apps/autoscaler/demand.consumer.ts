import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { DemandReader } from '#adapters/demand-reader';
import type { RecordBatch, StartOffset, TopicPartition } from '#adapters/event-log';
import { Autoscaler } from './autoscaler.js';

const demand = { topic: 'demand.v1', group: 'autoscaler' };

@Controller()
export class DemandConsumer {
  constructor(
    private readonly reader: DemandReader,
    private readonly autoscaler: Autoscaler,
  ) {}

  @EventPattern({ ...demand, on: 'assigned' })
  assigned(@Payload() partitions: TopicPartition[]): Promise<StartOffset[]> {
    return this.reader.assigned(partitions);
  }

  @EventPattern({ ...demand, on: 'revoked' })
  async revoked(@Payload() partitions: TopicPartition[]): Promise<void> {
    this.reader.revoked(partitions);
    // What was decided here belongs into the record before this process can say that it has left.
    await this.autoscaler.letGo();
  }

  @EventPattern(demand)
  async take(@Payload() batch: RecordBatch): Promise<void> {
    this.reader.take(batch);
  }
}
