import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { TOPICS, type RecordBatch, type StartOffset, type TopicPartition } from '#adapters/event-log';
import { DemandTable } from './demand-table.js';

const demand = { topic: TOPICS.demand, group: 'demand-table' };

/** A projection: its offsets are in the store, nothing is committed to the log. */
@Controller()
export class DemandTableConsumer {
  constructor(private readonly table: DemandTable) {}

  @EventPattern(demand)
  async apply(@Payload() batch: RecordBatch): Promise<void> {
    await this.table.apply(batch);
  }

  @EventPattern({ ...demand, on: 'assigned' })
  async restore(@Payload() partitions: TopicPartition[]): Promise<StartOffset[]> {
    return this.table.restore(partitions);
  }

  @EventPattern({ ...demand, on: 'revoked' })
  forget(@Payload() partitions: TopicPartition[]): void {
    this.table.forget(partitions);
  }
}
