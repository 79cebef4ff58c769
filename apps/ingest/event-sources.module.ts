import { Module, type DynamicModule } from '@nestjs/common';
import type { IngestObserver } from './ingest-observer.js';
import { mappedTopicConsumer, mappingOfTopic } from './mapped-topic.consumer.js';
import { TopicMapping, type MappedTopic } from './topic-mapping.js';

/** Where execution events come from beside `executions.v1` and the API, as the configuration declares it. */
export interface EventSources {
  /** Topics of the event log that others write their records to. */
  topics: readonly MappedTopic[];
}

export interface EventSourcesModuleOptions extends EventSources {
  observer: IngestObserver;
  maxAgeS: number;
  nowMs: () => number;
}

@Module({})
export class EventSourcesModule {
  static register({ topics, observer, maxAgeS, nowMs }: EventSourcesModuleOptions): DynamicModule {
    return {
      module: EventSourcesModule,
      controllers: topics.map(({ topic }) => mappedTopicConsumer(topic)),
      providers: topics.map((source) => ({
        provide: mappingOfTopic(source.topic),
        useFactory: () => new TopicMapping({ source, maxAgeS, nowMs, observer }),
      })),
    };
  }
}
