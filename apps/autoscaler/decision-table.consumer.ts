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
import { DecisionStore, type DecisionRecord } from '#adapters/store';

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

/** Only the autoscaler writes the topic: what the table's columns need is looked at, not every field. */
function decisionRecord(value: unknown): DecisionRecord | undefined {
  const { v, decision, memory, policyVersion } = (value ?? {}) as Partial<DecisionRecord>;
  const isOne =
    v === 1 &&
    typeof decision?.pool === 'string' &&
    typeof decision.kind === 'string' &&
    Number.isInteger(decision.atMs) &&
    memory?.v === 1 &&
    Number.isInteger(policyVersion);
  return isOne ? (value as DecisionRecord) : undefined;
}
