import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import type { RecordBatch, StartOffset, StoredRecord, TopicPartition } from '#adapters/event-log';
import { DecisionStore, type DecisionRecord } from '#adapters/store';

const table = { topic: 'decisions.v1', group: 'decision-table' };

/** The table of decisions: rows and offset in one transaction of the store. */
@Controller()
export class DecisionTableConsumer {
  constructor(private readonly store: DecisionStore) {}

  @EventPattern({ ...table, on: 'assigned' })
  assigned(@Payload() partitions: TopicPartition[]): Promise<StartOffset[]> {
    return this.store.startAt(partitions);
  }

  @EventPattern(table)
  async write(@Payload() { topic, partition, from, records }: RecordBatch): Promise<void> {
    const made = records.flatMap(({ value }) =>
      value === null ? [] : [JSON.parse(value) as DecisionRecord],
    );
    const nextOffset = (records.at(-1) as StoredRecord).offset + 1;
    await this.store.write({ made, step: { topic, partition, from, nextOffset } });
  }
}
