import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { LOG_TABLE_NAMES, type EventLog } from '#adapters/event-log';
import { LogSink, type EventSink } from '#adapters/event-sink';
import type { Fleet } from '#adapters/fleet';
import type { Verifier } from '#adapters/identity';
import {
  backupStream,
  DecisionStore,
  DemandStore,
  ForecastStore,
  EmbeddedPostgres,
  openEmbeddedStore,
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
import { openFleet } from './open-fleet.js';
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
  identity: Verifier;
  logger: Logger;
  needs: ReadonlySet<Need>;
  /** By the name of a source; absent: none has one. */
  sourcePasswords?: ReadonlyMap<string, string>;
  /** Between rounds of the embedded event log's housekeeping; default: its own. */
  housekeepingMs?: number;
}

/**
 * What a service stands on. `workers`: it hosts the local ones, its children, for every `fleet`. `event-sources`: it takes
 * in what `sources` of the configuration declares.
 */
export type Need = 'store' | 'log' | 'fleet' | 'workers' | 'event-sources';

interface Opened {
  store?: Store;
  log?: EventLog;
  /** Where the router's events go. */
  sink?: EventSink;
  fleet?: Fleet;
  mappings: ReadonlyMap<string, Mapping>;
  sources: EventSources;
}

/** Events that are not acknowledged this long after the stop are lost, and counted. */
const SINK_DEADLINE_MS = 3_000;

/**
 * What the services stand on, made once: the targets decide which parts there are, the configuration which implementation
 * each is.
 */
export class Parts {
  readonly settingsOf: (pool: string) => PoolSettings;
  /** Pools of whose workers the router has heard. */
  private readonly heardOf = new Set<string>();

  constructor(
    private readonly options: PartsOptions,
    private readonly opened: Opened,
    readonly metrics: Metrics,
    readonly observers: Observers,
    readonly status: StatusLines,
  ) {
    this.settingsOf = poolSettingsOf(options.config);
  }

  get log(): EventLog {
    return needed(this.opened.log);
  }

  /** Pools of the configuration. */
  get pools(): string[] {
    return Object.keys(this.options.config.pools);
  }

  get identity(): Verifier {
    return this.options.identity;
  }

  readonly forIngest = (): IngestModuleOptions => {
    const { ingest, pools, deadLetters } = this.options.config;
    return {
      log: this.log,
      stores: this.stores(),
      observer: this.observers.ingest,
      ...ingest,
      pools: new Map(Object.entries(pools)),
      defaults: this.settingsOf(''),
      mappings: this.opened.mappings,
      sources: this.opened.sources,
      deadLetters,
      nowMs: Date.now,
    };
  };

  readonly forForecaster = (): ForecasterModuleOptions => {
    const { demand: demandStore, forecasts: forecastStore, policies: policyStore } = this.stores();
    return {
      log: this.log,
      demandStore,
      forecastStore,
      policyStore,
      settingsOf: (pool) => {
        const { leadTimeMaxS, ...settings } = this.settingsOf(pool);
        return { ...settings, leadTimeS: leadTimeMaxS };
      },
      observer: this.observers.forecaster,
      nowMs: Date.now,
    };
  };

  readonly forFleet = (): { fleet: Fleet } => ({ fleet: this.fleet });

  readonly forAutoscaler = (): AutoscalerModuleOptions => ({
    log: this.log,
    stores: this.stores(),
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
      watch: (listener) =>
        this.fleet.watch((membership) => {
          this.heardOf.add(membership.pool);
          return listener(membership);
        }),
      sink: needed(this.opened.sink),
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
      ready: async () => (await this.workerProblems({ unordered: 'missing' })).length === 0,
      observer: this.observers.sources,
    };
  };

  /** Why the store takes nothing at the moment. */
  storeProblem(): string | undefined {
    return this.opened.store?.problem();
  }

  /** All that is stored, with the event log where it lies beside the tables. */
  backup(): Promise<Readable> {
    const logTables = this.options.config.store.kind === 'embedded' ? LOG_TABLE_NAMES : [];
    return backupStream(needed(this.opened.store), { takenAtMs: Date.now(), logTables });
  }

  /** Resolves with the reason when the store ends unasked. */
  get storeDied(): Promise<Error> {
    return this.opened.store?.died ?? new Promise(() => {});
  }

  /** Pools that have no ready worker although they should; `unordered`: what a pool is that nobody has ordered any for. */
  async workerProblems({ unordered }: { unordered: 'fine' | 'missing' }): Promise<string[]> {
    const problems: string[] = [];
    for (const pool of this.pools.filter((name) => this.settingsOf(name).hasFleet)) {
      const observed = await this.fleet.observe(pool).catch((error: Error) => error);
      if (observed instanceof Error) return [...problems, observed.message];
      const { ready, desired, ordered } = observed;
      if (ready === 0 && (desired > 0 || (!ordered && unordered === 'missing')))
        problems.push(`pool ${pool}: at least one ready worker, got none`);
    }
    return problems;
  }

  /** Pools of whose workers the router has not heard yet. One that has heard goes on with what it knows. */
  memberProblems(): string[] {
    const unheard = this.pools.filter((pool) => this.settingsOf(pool).hasFleet && !this.heardOf.has(pool));
    return unheard.map((pool) => `router: the fleet must have said who serves pool ${pool}, has not yet`);
  }

  readonly closeFleet = async (): Promise<void> => {
    await this.opened.sink?.flush(SINK_DEADLINE_MS);
    await this.opened.fleet?.close();
  };

  /** After {@link closeFleet}, when nothing reads or writes any more. */
  async close(): Promise<void> {
    await this.opened.sink?.close(SINK_DEADLINE_MS);
    await this.opened.log?.close();
    await this.opened.store?.close();
  }

  private get fleet(): Fleet {
    return needed(this.opened.fleet);
  }

  private stores() {
    return storesOf(needed(this.opened.store), this.options.config, this.observers);
  }
}

/** A part that the targets of this process have asked for. */
function needed<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('parts: a target must name what it needs, does not');
  return part;
}

/**
 * Rejects with nothing left open; throws DataDirectoryInUse, DataDirectoryFull, StoreUnavailable, StoreOfAnotherLog,
 * CannotSign, and as openEventLog.
 */
export async function openParts(options: PartsOptions): Promise<Parts> {
  const { config, dataDir, logger, needs } = options;
  const metrics = createMetrics();
  const status = new StatusLines();
  const observers = observersOf({ metrics, logger, status });
  const mappings = await knownMappings(config.mappings);
  const passwords = options.sourcePasswords ?? new Map<string, string>();
  const bucketSOf = (pool: string) => poolSettingsOf(config)(pool).bucketS;
  const sources = await eventSourcesOf(config.sources, { mappings, passwords, bucketSOf });
  const opened: Opened = { mappings, sources };
  const parts = new Parts(options, opened, metrics, observers, status);
  try {
    // Before anything that must be closed: it may find that it cannot sign.
    if (needs.has('fleet') || needs.has('workers'))
      opened.fleet = openFleet({ ...options, observers, hostsWorkers: needs.has('workers') });
    await openStoreAndLog(opened, { ...options, dataDir: join(dataDir, 'store'), observers });
    return parts;
  } catch (error) {
    // Its housekeeping would keep the process alive.
    await parts.closeFleet();
    await parts.close();
    throw error;
  } finally {
    logger.debug({ dataDir }, 'parts opened');
  }
}

async function openStoreAndLog(
  opened: Opened,
  given: PartsOptions & { observers: Observers },
): Promise<void> {
  const { config, needs, observers } = given;
  const carriesLog = needs.has('log') && config.eventLog.kind === 'embedded';
  const isNeeded = needs.has('store') || carriesLog;
  const { store, engine } = isNeeded ? await openStore({ ...given, carriesLog }) : NO_STORE;
  if (store !== undefined) opened.store = store;
  if (!needs.has('log')) return;
  const log = await openEventLog({ ...given, engine, observer: observers.log });
  opened.log = log;
  opened.sink = new LogSink({ log, observer: observers.sink });
  if (needs.has('event-sources')) await log.findTopics(opened.sources.topics.map(({ topic }) => topic));
  if (store === undefined) return;
  await checkStoreFollowsLog(store.dataSource, log);
  await createPolicies(config, new PolicyStore(store.dataSource));
}
const NO_STORE = { store: undefined, engine: undefined };

/** The engine of the data directory carries what is embedded: the tables, the event log, both, or it is not there. */
async function openStore(given: {
  config: Config;
  dataDir: string;
  observers: Observers;
  carriesLog: boolean;
}): Promise<{ store: Store; engine: EmbeddedPostgres | undefined }> {
  const { config, dataDir, observers, carriesLog } = given;
  if (config.store.kind === 'embedded') {
    const store = await openEmbeddedStore({ dataDir, observer: observers.log });
    return { store, engine: store.engine };
  }
  const { openPostgresStore } = await import('#adapters/store/postgres');
  if (!carriesLog)
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
  const nowMs = Date.now();
  await policies.createAll(
    Object.entries(config.pools).map(([pool, { policy }]) => ({ pool, policy, nowMs })),
  );
}
