import { Module, type DynamicModule } from '@nestjs/common';
import { DemandReader, Downtime, type DemandReaderOptions } from '#adapters/demand-reader';
import { RecordObserver, type EventLog } from '#adapters/event-log';
import type { LoopObserver } from '#adapters/loop';
import { DemandStore, ForecastStore, type PolicyStore } from '#adapters/store';
import { DemandConsumer } from './demand.consumer.js';
import { ForecastTableConsumer } from './forecast-table.consumer.js';
import { ForecastThread } from './forecast-thread.js';
import type { ForecastedPool } from './forecasted-pool.js';
import { Forecaster, type ForecasterObserver } from './forecaster.js';
import { ForecasterLoop } from './forecaster.loop.js';
import { PoolPasts } from './pool-pasts.js';
import { PoolsWithPolicy } from './pools-with-policy.js';

export interface ForecasterModuleOptions {
  log: EventLog;
  demandStore: DemandStore;
  forecastStore: ForecastStore;
  policyStore: Pick<PolicyStore, 'pools'>;
  settingsOf(pool: string): ForecastedPool;
  observer: ForecasterObserver &
    LoopObserver &
    RecordObserver & { demandRead: DemandReaderOptions['observe'] };
  nowMs(): number;
}

/** Demand → forecasts: one forecast per closed bucket of each pool with a policy. */
@Module({})
export class ForecasterModule {
  static register(options: ForecasterModuleOptions): DynamicModule {
    const { log, demandStore, forecastStore, policyStore, settingsOf, observer, nowMs } = options;
    return {
      module: ForecasterModule,
      controllers: [DemandConsumer, ForecastTableConsumer],
      providers: [
        { provide: RecordObserver, useValue: observer },
        { provide: ForecastStore, useValue: forecastStore },
        { provide: ForecastThread, useFactory: () => new ForecastThread() },
        { provide: Downtime, useFactory: () => new Downtime({ demandStore, forecastStore, nowMs }) },
        { provide: PoolsWithPolicy, useFactory: () => new PoolsWithPolicy(policyStore) },
        {
          provide: DemandReader,
          useFactory: () =>
            new DemandReader('demand.v1', {
              log,
              store: demandStore,
              settingsOf,
              observe: observer.demandRead,
              nowMs,
            }),
        },
        {
          provide: Forecaster,
          inject: [DemandReader, ForecastThread, PoolsWithPolicy, Downtime],
          useFactory: (
            reader: DemandReader,
            thread: ForecastThread,
            policies: PoolsWithPolicy,
            downtime: Downtime,
          ) => {
            const pasts = new PoolPasts({ store: demandStore, reader, thread, downtime });
            return new Forecaster({ log, reader, pasts, policies, thread, settingsOf, observer, nowMs });
          },
        },
        {
          provide: ForecasterLoop,
          inject: [Forecaster, ForecastThread, PoolsWithPolicy, Downtime],
          useFactory: (
            forecaster: Forecaster,
            thread: ForecastThread,
            policies: PoolsWithPolicy,
            downtime: Downtime,
          ) => new ForecasterLoop(forecaster, thread, { policies, downtime, store: forecastStore, observer }),
        },
      ],
    };
  }
}
