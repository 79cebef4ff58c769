import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { LOG_TABLE_NAMES, type EventLog } from '#adapters/event-log';
import { LogSink, type EventSink } from '#adapters/event-sink';
import { LocalProcessFleet, type Fleet } from '#adapters/fleet';
import type { Identity } from '#adapters/identity';
import {
  backupStream,
  DecisionStore,
  DemandStore,
  ForecastStore,
  EmbeddedPostgres,
  openEmbeddedStore,
  openPostgresStore,
  PolicyStore,
  spaceProblemIn,
  type Retention,
  type Store,
} from '#adapters/store';
import { createMetrics, type Logger, type Metrics } from '#adapters/telemetry';
import type { Mapping } from '#domain/mapping';
import type { AutoscalerModuleOptions } from '../autoscaler/autoscaler.module.js';
import type { ForecasterModuleOptions } from '../forecaster/forecaster.module.js';
import type { EventSources, IngestModuleOptions } from '../ingest/index.js';
import type { RouterOptions } from '../router/router.js';
import type { Config } from './config.js';
import { openEventLog } from './open-event-log.js';
import { eventSourcesOf } from './event-sources.js';
import { knownMappings } from './mappings/known-mappings.js';
import { observersOf, type Observers } from './observers.js';
import { originOf } from './origin.js';
import { checkStoreFollowsLog } from './store-and-log.js';
import { poolSettingsOf, type PoolSettings } from './pool-settings.js';
import type { SourcesModuleOptions } from './sources.module.js';
import { StatusLines } from './status-lines.js';
import { retentionsOf } from './store-retention.js';

export interface PartsOptions {
  config: Config;
  dataDir: string;
  identity: Identity;
  logger: Logger;
  /** By the name of a source; absent: none has one. */
  sourcePasswords?: ReadonlyMap<string, string>;
}

/** Workers sign on with a token of this life at most, and get a new one after half of it. */
const WORKER_TOKEN_MAX_S = 3_600;
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
    private readonly mappings: ReadonlyMap<string, Mapping>,
    private readonly sources: EventSources,
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

  get identity(): Identity {
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
      mappings: this.mappings,
      sources: this.sources,
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
      trustsExecutionIds: (pool) => this.settingsOf(pool).trustExecutionIds,
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

  /** All that is stored, with the event log where it lies beside the tables. */
  backup(): Promise<Readable> {
    const logTables = this.options.config.store.kind === 'embedded' ? LOG_TABLE_NAMES : [];
    return backupStream(this.store, { takenAtMs: Date.now(), logTables });
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
      const { ready, desired } = await this.fleet.observe(pool);
      if (ready === 0 && desired > 0) problems.push(`pool ${pool}: at least one ready worker, got none`);
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

/**
 * Rejects with nothing left open; throws DataDirectoryInUse, DataDirectoryFull, StoreUnavailable, StoreAheadOfLog, and as
 * openEventLog.
 */
export async function openParts(options: PartsOptions): Promise<Parts> {
  const { config, dataDir, identity, logger } = options;
  const metrics = createMetrics();
  const status = new StatusLines();
  const observers = observersOf({ metrics, logger, status });
  const { store, engine } = await openStore({ config, dataDir: join(dataDir, 'store'), observers });
  let log: EventLog | undefined;
  try {
    log = await openEventLog({ config, engine, logger });
    await checkStoreFollowsLog(store.dataSource, log);
    await createPolicies(config, new PolicyStore(store.dataSource));
    const sink = new LogSink({ log, observer: observers.sink });
    const fleet = localFleet({ config, identity, observers });
    const mappings = await knownMappings(config.mappings);
    const passwords = options.sourcePasswords ?? new Map<string, string>();
    const bucketSOf = (pool: string) => poolSettingsOf(config)(pool).bucketS;
    const sources = await eventSourcesOf(config.sources, { mappings, passwords, bucketSOf });
    return new Parts(options, store, log, fleet, sink, mappings, sources, metrics, observers, status);
  } catch (error) {
    // Its housekeeping would keep the process alive.
    await log?.close();
    await store.close();
    throw error;
  } finally {
    logger.debug({ dataDir }, 'parts opened');
  }
}

/** The engine of the data directory carries what is embedded: the tables, the event log, both, or it is not there. */
async function openStore(given: {
  config: Config;
  dataDir: string;
  observers: Observers;
}): Promise<{ store: Store; engine: EmbeddedPostgres | undefined }> {
  const { config, dataDir, observers } = given;
  if (config.store.kind === 'embedded') {
    const store = await openEmbeddedStore({ dataDir, observer: observers.log });
    return { store, engine: store.engine };
  }
  if (config.eventLog.kind !== 'embedded')
    return {
      store: await openPostgresStore(config.store, { observer: observers.log }),
      engine: undefined,
    };
  const engine = await EmbeddedPostgres.open({ dataDir });
  try {
    const server = await openPostgresStore(config.store, { observer: observers.log });
    const store = {
      ...server,
      problem: () => server.problem() ?? spaceProblemIn(dataDir),
      died: engine.died,
      close: async () => {
        await server.close();
        await engine.close();
      },
    };
    return { store, engine };
  } catch (error) {
    await engine.close();
    throw error;
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

function localFleet(given: { config: Config; identity: Identity; observers: Observers }): LocalProcessFleet {
  const { config, identity, observers } = given;
  const pools = Object.entries(config.pools).flatMap(([pool, { worker }]) => {
    const { handlers: handlersDir, ...settings } = worker;
    return handlersDir === undefined ? [] : [[pool, { ...settings, handlersDir }] as const];
  });
  const lifetimeS = Math.min(WORKER_TOKEN_MAX_S, config.identity.tokenMaxS);
  const token = async () => {
    const signed = await identity.signToken({
      scopes: ['events:write'],
      lifetimeS,
      subject: 'worker',
    });
    return signed.token;
  };
  return new LocalProcessFleet({
    workerEntry: join(import.meta.dirname, '..', 'worker', 'main.js'),
    pools: Object.fromEntries(pools),
    events: {
      url: originOf(config.api),
      token,
      renewMs: (lifetimeS * 1000) / 2,
      onRenewalFailed: observers.tokenRenewalFailed,
    },
    observer: observers.fleet,
  });
}
