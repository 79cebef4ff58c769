import { Module, type DynamicModule } from '@nestjs/common';
import { DemandReader, type DemandReaderOptions } from '#adapters/demand-reader';
import { RecordObserver, type EventLog } from '#adapters/event-log';
import type { LoopObserver } from '#adapters/loop';
import { DemandStore, ForecastStore } from '#adapters/store';
import { DemandConsumer } from './demand.consumer.js';
import { ForecastTableConsumer } from './forecast-table.consumer.js';
import { ForecastThread } from './forecast-thread.js';
import { Forecaster, type ForecastedPool, type ForecasterObserver } from './forecaster.js';
import { ForecasterLoop } from './forecaster.loop.js';

export interface ForecasterModuleOptions {
  log: EventLog;
  demandStore: DemandStore;
  forecastStore: ForecastStore;
  settingsOf(pool: string): ForecastedPool;
  observer: ForecasterObserver &
    LoopObserver &
    RecordObserver & { demandRead: DemandReaderOptions['observe'] };
  nowMs(): number;
}

/** Demand → forecasts: one forecast per pool and closed bucket. */
@Module({})
export class ForecasterModule {
  static register(options: ForecasterModuleOptions): DynamicModule {
    const { log, demandStore, forecastStore, settingsOf, observer, nowMs } = options;
    return {
      module: ForecasterModule,
      controllers: [DemandConsumer, ForecastTableConsumer],
      providers: [
        { provide: RecordObserver, useValue: observer },
        { provide: ForecastStore, useValue: forecastStore },
        { provide: ForecastThread, useFactory: () => new ForecastThread() },
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
          inject: [DemandReader, ForecastThread],
          useFactory: (reader: DemandReader, thread: ForecastThread) =>
            new Forecaster({ log, reader, store: demandStore, thread, settingsOf, observer, nowMs }),
        },
        {
          provide: ForecasterLoop,
          inject: [Forecaster, ForecastThread],
          useFactory: (forecaster: Forecaster, thread: ForecastThread) =>
            new ForecasterLoop(forecaster, thread, forecastStore, observer),
        },
      ],
    };
  }
}
