import { Module, type DynamicModule } from '@nestjs/common';
import type { EventLog } from '#adapters/event-log';
import type { Mapping } from '#domain/mapping';
import { DeadLetterReplay } from './dead-letter-replay.js';
import { DeadLetterTopic } from './dead-letter-topic.js';
import type { PayloadKeeping } from './dead-letter.js';
import { DeadLettersController } from './dead-letters.controller.js';
import { IngestObserver } from './ingest-observer.js';

export interface DeadLettersModuleOptions {
  log: EventLog;
  mappings: ReadonlyMap<string, Mapping>;
  keeping: PayloadKeeping;
  observer: IngestObserver;
}

/** The API of `executions.dlq.v1`: see why a record counts nowhere, and let it count after all. */
@Module({})
export class DeadLettersModule {
  static register(options: DeadLettersModuleOptions): DynamicModule {
    const { log, observer } = options;
    const topic = new DeadLetterTopic(log);
    return {
      module: DeadLettersModule,
      controllers: [DeadLettersController],
      providers: [
        { provide: IngestObserver, useValue: observer },
        { provide: DeadLetterTopic, useValue: topic },
        { provide: DeadLetterReplay, useFactory: () => new DeadLetterReplay({ ...options, topic }) },
      ],
    };
  }
}
