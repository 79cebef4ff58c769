import { Module, type DynamicModule } from '@nestjs/common';
import { DemandReader, Downtime, type DemandReaderOptions } from '#adapters/demand-reader';
import { RecordObserver, type EventLog } from '#adapters/event-log';
import type { Fleet } from '#adapters/fleet';
import type { LoopObserver } from '#adapters/loop';
import { DecisionStore, DemandStore, ForecastStore, PolicyStore } from '#adapters/store';
import { Autoscaler, type AutoscalerObserver } from './autoscaler.js';
import { AutoscalerLoop } from './autoscaler.loop.js';
import { DecisionTableConsumer } from './decision-table.consumer.js';
import { DemandConsumer } from './demand.consumer.js';
import { FleetViews } from './fleet-views.js';
import { ForecastsConsumer } from './forecasts.consumer.js';
import { LatestForecasts } from './latest-forecasts.js';
import { MeanLoads } from './mean-loads.js';
import { PoliciesController, PolicyLimits, type PolicyObserver } from './policies.controller.js';
import { PolicyCache } from './policy-cache.js';
import { PoolsController } from './pools.controller.js';
import { RecordedDecisions } from './recorded-decisions.js';
import type { ScaledPool } from './scaled-pool.js';

export interface AutoscalerModuleOptions {
  log: EventLog;
  stores: { policies: PolicyStore; demand: DemandStore; forecasts: ForecastStore; decisions: DecisionStore };
  fleet: Fleet;
  settingsOf(pool: string): ScaledPool;
  maxPools: number;
  /** Pools of the configuration. */
  configured: ReadonlySet<string>;
  observer: AutoscalerObserver &
    PolicyObserver &
    LoopObserver &
    RecordObserver & { demandRead: DemandReaderOptions['observe'] };
  nowMs(): number;
  /** Never goes back, ms from any start; default: the process's. */
  uptimeMs?: () => number;
  /** How often every pool is decided, ms; default: half a second. */
  periodMs?: number;
}

/** Demand + forecast + fleet + policy → decisions, and the API of policies and pools. */
@Module({})
export class AutoscalerModule {
  static register(options: AutoscalerModuleOptions): DynamicModule {
    const { log, stores, fleet, settingsOf, maxPools, configured, observer, nowMs } = options;
    return {
      module: AutoscalerModule,
      controllers: [
        PoliciesController,
        PoolsController,
        DemandConsumer,
        ForecastsConsumer,
        DecisionTableConsumer,
      ],
      providers: [
        { provide: RecordObserver, useValue: observer },
        { provide: PolicyStore, useValue: stores.policies },
        { provide: DemandStore, useValue: stores.demand },
        { provide: ForecastStore, useValue: stores.forecasts },
        { provide: DecisionStore, useValue: stores.decisions },
        { provide: PolicyLimits, useFactory: () => new PolicyLimits(maxPools, configured, nowMs, observer) },
        { provide: PolicyCache, useFactory: () => new PolicyCache(stores.policies) },
        { provide: LatestForecasts, useFactory: () => new LatestForecasts(log, stores.forecasts, observer) },
        { provide: FleetViews, useFactory: () => new FleetViews(fleet, settingsOf, observer) },
        {
          provide: DemandReader,
          useFactory: () =>
            new DemandReader('demand.v1', {
              log,
              store: stores.demand,
              settingsOf,
              observe: observer.demandRead,
              nowMs,
            }),
        },
        {
          provide: Downtime,
          useFactory: () =>
            new Downtime({ demandStore: stores.demand, forecastStore: stores.forecasts, nowMs }),
        },
        {
          provide: MeanLoads,
          inject: [DemandReader, Downtime],
          useFactory: (reader: DemandReader, downtime: Downtime) =>
            new MeanLoads({ reader, store: stores.demand, downtime, settingsOf, nowMs }),
        },
        {
          provide: Autoscaler,
          inject: [DemandReader, LatestForecasts, PolicyCache, FleetViews, MeanLoads],
          useFactory: (
            reader: DemandReader,
            forecasts: LatestForecasts,
            policies: PolicyCache,
            fleetViews: FleetViews,
            means: MeanLoads,
          ) =>
            new Autoscaler({
              log,
              reader,
              forecasts,
              policies,
              fleet,
              fleetViews,
              means,
              recorded: new RecordedDecisions(log, stores.decisions),
              settingsOf,
              observer,
              nowMs,
              ...(options.uptimeMs && { uptimeMs: options.uptimeMs }),
            }),
        },
        {
          provide: AutoscalerLoop,
          inject: [Autoscaler, PolicyCache, MeanLoads, Downtime],
          useFactory: (autoscaler: Autoscaler, policies: PolicyCache, means: MeanLoads, downtime: Downtime) =>
            new AutoscalerLoop(autoscaler, policies, {
              means,
              downtime,
              store: stores.decisions,
              observer,
              periodMs: options.periodMs,
            }),
        },
      ],
      exports: [Autoscaler, PolicyCache],
    };
  }
}
