import { Controller, Inject, type Type } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import type { LogContext, RecordBatch } from '#adapters/event-log';
import type { TopicMapping } from './topic-mapping.js';

/** Under this name the module provides the mapping of a topic. */
export function mappingOfTopic(topic: string): string {
  return `mapping of topic ${topic}`;
}

/**
 * A consumer for a topic that only the configuration knows: patterns are decorators, so each topic needs a class. A new
 * group begins with records whose executions are not too old to count.
 */
export function mappedTopicConsumer(topic: string, { maxAgeS }: { maxAgeS: number }): Type {
  @Controller()
  class MappedTopicConsumer {
    constructor(@Inject(mappingOfTopic(topic)) private readonly mapping: TopicMapping) {}

    @EventPattern({ topic, group: `mapped-${topic}`, commits: true, newFromAgeS: maxAgeS })
    async take(@Payload() batch: RecordBatch, @Ctx() context: LogContext): Promise<void> {
      await this.mapping.take(batch, (step) => context.commit(step));
    }
  }
  return MappedTopicConsumer;
}
