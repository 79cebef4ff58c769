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
import { DecisionStore } from '#adapters/store';
import { decisionRecord } from './decision-record.js';

const table = { topic: 'decisions.v1', group: 'decision-table' };

/** The table of decisions: rows and offset in one transaction of the store. */
@Controller()
export class DecisionTableConsumer {
  constructor(
    private readonly store: DecisionStore,
    private readonly observer: RecordObserver,
  ) {}

  @EventPattern({ ...table, on: 'assigned' })
  assigned(@Payload() partitions: TopicPartition[]): Promise<StartOffset[]> {
    return this.store.startAt(partitions);
  }

  @EventPattern(table)
  async write(@Payload() batch: RecordBatch): Promise<void> {
    const { topic, partition, from, records } = batch;
    const made = readable(batch, decisionRecord, this.observer);
    const nextOffset = (records.at(-1) as StoredRecord).offset + 1;
    await this.store.write({ made, step: { topic, partition, from, nextOffset } });
  }
}
