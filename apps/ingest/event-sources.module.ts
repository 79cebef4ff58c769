import {
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { EventLog } from '#adapters/event-log';
import type { RecordSource, RecordSourceOptions } from '#adapters/record-sources';
import type { Mapping } from '#domain/mapping';
import type { PayloadKeeping } from './dead-letter.js';
import type { IngestObserver } from './ingest-observer.js';
import { mappedTopicConsumer, mappingOfTopic } from './mapped-topic.consumer.js';
import type { SampledPool } from './sampled-demand.js';
import { SourceIntake } from './source-intake.js';
import { TopicMapping, type MappedTopic } from './topic-mapping.js';

/** Where events and demand come from beside `executions.v1` and the API, as the configuration declares it. */
export interface EventSources {
  /** Topics of the event log that others write their records to. */
  topics: readonly MappedTopic[];
  /** Systems that keep records until they are taken. */
  records: readonly DeclaredRecordSource[];
  /** Pools that other systems measure. */
  sampled: readonly SampledPool[];
}

export interface DeclaredRecordSource {
  name: string;
  /** Undefined: its records are execution events already. */
  mapping: Mapping | undefined;
  open(options: RecordSourceOptions): RecordSource;
}

export interface EventSourcesModuleOptions extends Omit<EventSources, 'sampled'> {
  log: EventLog;
  observer: IngestObserver;
  maxAgeS: number;
  keeping: PayloadKeeping;
  nowMs: () => number;
}

/** The record sources of this process: they hand over from when it is ready until it stops. */
export class RecordSources implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly sources: ReadonlyMap<string, RecordSource>;

  constructor(given: Pick<EventSourcesModuleOptions, 'log' | 'records' | 'keeping' | 'observer'>) {
    const { records, observer } = given;
    const opened = records.map(({ name, mapping, open }) => {
      const intake = new SourceIntake({ ...given, mapping });
      const take: RecordSourceOptions['take'] = (batch) => intake.take(batch);
      return [name, open({ take, observer: observer.ofSource(name) })] as const;
    });
    this.sources = new Map(opened);
  }

  /** Records that wait in each system; undefined while that is not known. */
  waiting(): { source: string; records: number | undefined }[] {
    return [...this.sources].map(([source, opened]) => ({ source, records: opened.waiting() }));
  }

  onApplicationBootstrap(): void {
    for (const source of this.sources.values()) source.start();
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all([...this.sources.values()].map((source) => source.close()));
  }
}

@Module({})
export class EventSourcesModule {
  static register(options: EventSourcesModuleOptions): DynamicModule {
    const { topics, observer, maxAgeS, keeping, nowMs } = options;
    return {
      module: EventSourcesModule,
      controllers: topics.map(({ topic }) => mappedTopicConsumer(topic)),
      providers: [
        { provide: RecordSources, useFactory: () => new RecordSources(options) },
        ...topics.map((source) => ({
          provide: mappingOfTopic(source.topic),
          useFactory: () => new TopicMapping({ source, maxAgeS, nowMs, keeping, observer }),
        })),
      ],
    };
  }
}
