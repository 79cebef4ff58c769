import { Module, type DynamicModule } from '@nestjs/common';
import type { EventLog } from '#adapters/event-log';
import type { DemandStore, PolicyStore } from '#adapters/store';
import type { IngestSettings } from '#domain/demand';
import type { Mapping } from '#domain/mapping';
import type { PayloadKeeping } from './dead-letter.js';
import { DeadLettersModule } from './dead-letters.module.js';
import { DemandTableConsumer } from './demand-table.consumer.js';
import { DemandTable } from './demand-table.js';
import { EventIntake } from './event-intake.js';
import { EventSourcesModule, type EventSources } from './event-sources.module.js';
import { EventsController } from './events.controller.js';
import { HistoryController } from './history.controller.js';
import { HistoryImport } from './history-import.js';
import { IngestConsumer } from './ingest.consumer.js';
import { IngestObserver } from './ingest-observer.js';
import { PartitionCounting } from './partition-counting.js';
import { PoolRegistryLoop } from './pool-registry.loop.js';
import { PoolRegistry, type PoolRegistryOptions } from './pool-registry.js';
import { RetentionLoop } from './retention.loop.js';
import { SampledDemandLoop } from './sampled-demand.loop.js';
import { SampledDemand } from './sampled-demand.js';
import { WebhookIntake } from './webhook-intake.js';
import { WebhooksController } from './webhooks.controller.js';

export interface IngestModuleOptions {
  log: EventLog;
  stores: { policies: PolicyStore; demand: DemandStore };
  observer: IngestObserver;
  /** As in the configuration's `ingest`. */
  dedupeWindowS: number;
  maxExecutionS: number;
  maxPools: number;
  /** Pools of the configuration, and what a pool gets that its first event creates. */
  pools: PoolRegistryOptions['configured'];
  defaults: PoolRegistryOptions['defaults'];
  /** Of records that other platforms send, by name. */
  mappings: ReadonlyMap<string, Mapping>;
  /** Where events come from beside the topic and the API. */
  sources: EventSources;
  /** As in the configuration's `deadLetters`. */
  deadLetters: PayloadKeeping;
  nowMs?: () => number;
}

/** Clocks of senders may be this wrong. */
const MAX_FUTURE_S = 60;

/** The bounds on an event's times that keep "each execution counts once" true; see {@link IngestSettings}. */
export function ingestSettings(given: { dedupeWindowS: number; maxExecutionS: number }): IngestSettings {
  const { dedupeWindowS, maxExecutionS } = given;
  const maxFutureS = Math.min(MAX_FUTURE_S, dedupeWindowS);
  return { dedupeWindowS, maxExecutionS, maxFutureS, maxAgeS: maxExecutionS + dedupeWindowS - maxFutureS };
}

/** Execution events → demand → the store's table, and the API that takes events. */
@Module({})
export class IngestModule {
  static register(options: IngestModuleOptions): DynamicModule {
    const { log, stores, observer, maxPools, pools, defaults, mappings, sources } = options;
    const { deadLetters: keeping, nowMs = Date.now } = options;
    const onCreated = (pool: string) => observer.poolCreated(pool);
    const { policies, demand } = stores;
    return {
      module: IngestModule,
      imports: [
        EventSourcesModule.register({
          ...sources,
          log,
          observer,
          keeping,
          nowMs,
          ...ingestSettings(options),
        }),
        DeadLettersModule.register({ log, mappings, keeping, observer }),
      ],
      controllers: [
        EventsController,
        WebhooksController,
        HistoryController,
        IngestConsumer,
        DemandTableConsumer,
      ],
      providers: [
        { provide: IngestObserver, useValue: observer },
        {
          provide: PoolRegistry,
          useFactory: () =>
            PoolRegistry.load({ policies, configured: pools, defaults, maxPools, nowMs, onCreated }),
        },
        {
          provide: PartitionCounting,
          useFactory: (registry: PoolRegistry) =>
            new PartitionCounting(log, registry, ingestSettings(options), keeping),
          inject: [PoolRegistry],
        },
        { provide: DemandTable, useFactory: () => new DemandTable(log, demand, observer) },
        {
          provide: SampledDemandLoop,
          useFactory: (table: DemandTable) => {
            const bucketSOf = (pool: string) => (pools.get(pool) ?? defaults).bucketS;
            const given = { log, table, pools: sources.sampled, bucketSOf, nowMs, observer };
            return new SampledDemandLoop(new SampledDemand(given), observer.loop);
          },
          inject: [DemandTable],
        },
        {
          provide: HistoryImport,
          useFactory: (registry: PoolRegistry) =>
            new HistoryImport({ log, store: demand, pools: registry, late: options, nowMs, observer }),
          inject: [PoolRegistry],
        },
        { provide: EventIntake, useFactory: () => new EventIntake(log, keeping, observer) },
        { provide: WebhookIntake, useFactory: () => new WebhookIntake(log, mappings, keeping, observer) },
        {
          provide: PoolRegistryLoop,
          useFactory: (registry: PoolRegistry) => new PoolRegistryLoop(registry, observer.loop),
          inject: [PoolRegistry],
        },
        {
          provide: RetentionLoop,
          useFactory: () => new RetentionLoop({ demand, observer: observer.loop }),
        },
      ],
      exports: [PoolRegistry],
    };
  }
}
