import { join } from 'node:path';
import { EmbeddedEventLog, topicSpecs, type EventLog } from '#adapters/event-log';
import { LogSink, type EventSink } from '#adapters/event-sink';
import type { Fleet } from '#adapters/fleet';
import type { Verifier } from '#adapters/identity';
import {
  DecisionStore,
  DemandStore,
  ForecastStore,
  openEmbeddedStore,
  PolicyStore,
  type Retention,
  type Store,
} from '#adapters/store';
import { createMetrics, type Logger, type Metrics } from '#adapters/telemetry';
import type { AutoscalerModuleOptions } from '../autoscaler/autoscaler.module.js';
import type { ForecasterModuleOptions } from '../forecaster/forecaster.module.js';
import type { IngestModuleOptions } from '../ingest/index.js';
import type { RouterOptions } from '../router/router.js';
import type { Config } from './config.js';
import { openFleet } from './open-fleet.js';
import { observersOf, type Observers } from './observers.js';
import { originOf } from './origin.js';
import { poolSettingsOf, type PoolSettings } from './pool-settings.js';
import type { SourcesModuleOptions } from './sources.module.js';
import { StatusLines } from './status-lines.js';
import { retentionsOf } from './store-retention.js';

export interface PartsOptions {
  config: Config;
  dataDir: string;
  identity: Verifier;
  logger: Logger;
  /** The local workers are children of this process (target fleet). */
  hostsWorkers: boolean;
}

/** Events that are not acknowledged this long after the stop are lost, and counted. */
const SINK_DEADLINE_MS = 3_000;

/** What the services stand on, made once: the configuration decides which implementation each part is. */
export class Parts {
  readonly settingsOf: (pool: string) => PoolSettings;
  private readonly stores;

  constructor(
    private readonly options: PartsOptions,
    private readonly store: Store,
    readonly log: EventLog,
    private readonly fleet: Fleet,
    private readonly sink: EventSink,
    readonly metrics: Metrics,
    readonly observers: Observers,
    readonly status: StatusLines,
  ) {
    this.settingsOf = poolSettingsOf(options.config);
    this.stores = storesOf(store, options.config, observers);
  }

  /** Pools of the configuration. */
  get pools(): string[] {
    return Object.keys(this.options.config.pools);
  }

  get identity(): Verifier {
    return this.options.identity;
  }

  readonly forIngest = (): IngestModuleOptions => {
    const { ingest, pools } = this.options.config;
    return {
      log: this.log,
      stores: this.stores,
      observer: this.observers.ingest,
      ...ingest,
      pools: new Map(Object.entries(pools)),
      defaults: this.settingsOf(''),
      nowMs: Date.now,
    };
  };

  readonly forForecaster = (): ForecasterModuleOptions => ({
    log: this.log,
    demandStore: this.stores.demand,
    forecastStore: this.stores.forecasts,
    settingsOf: (pool) => {
      const { leadTimeMaxS, ...settings } = this.settingsOf(pool);
      return { ...settings, leadTimeS: leadTimeMaxS };
    },
    observer: this.observers.forecaster,
    nowMs: Date.now,
  });

  readonly forFleet = (): { fleet: Fleet } => ({ fleet: this.fleet });

  readonly forAutoscaler = (): AutoscalerModuleOptions => ({
    log: this.log,
    stores: this.stores,
    fleet: this.fleet,
    settingsOf: this.settingsOf,
    maxPools: this.options.config.ingest.maxPools,
    configured: new Set(this.pools),
    observer: this.observers.autoscaler,
    nowMs: Date.now,
  });

  readonly forRouter = (): RouterOptions => {
    const { router, pools } = this.options.config;
    const known = new Set(Object.keys(pools));
    return {
      ...router,
      watch: (listener) => this.fleet.watch(listener),
      sink: this.sink,
      pools: () => known,
      observer: this.observers.router,
    };
  };

  readonly forSources = (): SourcesModuleOptions => {
    const { router, pools } = this.options.config;
    return {
      sources: Object.entries(pools).flatMap(([pool, { source, policy }]) =>
        source === undefined
          ? []
          : [
              {
                pool,
                source,
                url: `${originOf(router)}/${pool}/`,
                objectiveMs: policy.objective.responseMs,
              },
            ],
      ),
      ready: async () => (await this.fleetProblems()).length === 0,
      observer: this.observers.sources,
    };
  };

  /** Why the store takes nothing at the moment. */
  storeProblem(): string | undefined {
    return this.store.problem();
  }

  /** Resolves with the reason when the store ends unasked. */
  get storeDied(): Promise<Error> {
    return this.store.died;
  }

  /** Pools that have no ready worker although they should. */
  async fleetProblems(): Promise<string[]> {
    const problems: string[] = [];
    for (const pool of Object.keys(this.options.config.pools)) {
      if (!this.settingsOf(pool).hasFleet) continue;
      const observed = await this.fleet.observe(pool).catch((error: Error) => error);
      if (observed instanceof Error) return [...problems, observed.message];
      if (observed.ready === 0 && observed.desired > 0)
        problems.push(`pool ${pool}: at least one ready worker, got none`);
    }
    return problems;
  }

  readonly closeFleet = async (): Promise<void> => {
    await this.sink.flush(SINK_DEADLINE_MS);
    await this.fleet.close();
  };

  /** After {@link closeFleet}, when nothing reads or writes any more. */
  async close(): Promise<void> {
    await this.sink.close(SINK_DEADLINE_MS);
    await this.log.close();
    await this.store.close();
  }
}

/** Rejects with nothing left open; throws DataDirectoryInUse, DataDirectoryFull, TopicMismatch. */
export async function openParts(options: PartsOptions): Promise<Parts> {
  const { config, dataDir, identity, logger, hostsWorkers } = options;
  const metrics = createMetrics();
  const status = new StatusLines();
  const observers = observersOf({ metrics, logger, status });
  const store = await openEmbeddedStore({ dataDir: join(dataDir, 'store') });
  let log: EmbeddedEventLog | undefined;
  try {
    log = await EmbeddedEventLog.open(store.engine);
    await log.ensureTopics(topicSpecs(config.ingest));
    await createPolicies(config, new PolicyStore(store.dataSource));
    const sink = new LogSink({ log, observer: observers.sink });
    const fleet = openFleet({ config, identity, observers, hostsWorkers });
    return new Parts(options, store, log, fleet, sink, metrics, observers, status);
  } catch (error) {
    // Its housekeeping would keep the process alive.
    await log?.close();
    await store.close();
    throw error;
  } finally {
    logger.debug({ dataDir }, 'parts opened');
  }
}

function storesOf({ dataSource }: Store, config: Config, { partition }: Observers) {
  const retentions = retentionsOf(config);
  const options = (retention: Retention) => ({ retention, nowMs: Date.now, observe: partition });
  return {
    policies: new PolicyStore(dataSource),
    demand: new DemandStore(dataSource, options(retentions.demand)),
    forecasts: new ForecastStore(dataSource, options(retentions.forecasts)),
    decisions: new DecisionStore(dataSource, options(retentions.decisions)),
  };
}

/** A policy of the configuration is where its pool starts; afterwards the API's counts. */
async function createPolicies(config: Config, policies: PolicyStore): Promise<void> {
  for (const [pool, { policy }] of Object.entries(config.pools))
    await policies.create({ pool, policy, nowMs: Date.now() });
}
