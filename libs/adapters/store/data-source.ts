import { setTimeout } from 'node:timers/promises';
import {
  DataSource,
  MigrationExecutor,
  type DataSourceOptions,
  type Logger,
  type QueryRunner,
} from 'typeorm';
import { Pools1764000000001 } from './migrations/1-pools.js';
import { Partitions1764200000000 } from './migrations/2-partitions.js';
import { DemandSeries1764300000000 } from './migrations/3-demand-series.js';
import { EventLogs1764400000000 } from './migrations/4-event-logs.js';
import { HistoryClaims1764500000000 } from './migrations/5-history-claims.js';
import { LOCK_NOT_AVAILABLE } from './partitions/partitioned-table.js';
import {
  decisions,
  demand,
  demandChains,
  demandSeries,
  forecasts,
  policies,
  projectionOffsets,
} from './tables.js';

/** Where the database is, and what the connections to it may do. */
export type Connection = Omit<Partial<Extract<DataSourceOptions, { type: 'postgres' }>>, 'type'>;

/** Oldest first. The rule of how they change tables is in CONTRIBUTING.md. */
export const MIGRATIONS = [
  Pools1764000000001,
  Partitions1764200000000,
  DemandSeries1764300000000,
  EventLogs1764400000000,
  HistoryClaims1764500000000,
];

/** PostgreSQL's advisory lock of whoever migrates: the others wait, and find nothing left to do. */
const MIGRATION_LOCK = 4_711_001;
/** For the longest migration there may ever be, and for waiting until another process is through with it. */
export const MIGRATION_DEADLINE_MS = 600_000;
/**
 * A statement that waits to change a table stops everybody who comes after it, and a backup may read for minutes: a
 * migration gives up soon, and tries again until the deadline.
 */
const ALTER_LOCK_TIMEOUT_MS = 1_000;
const TRY_AGAIN_AFTER_MS = 1_000;

/** Whoever asked is told what failed; TypeORM would also print it, parameters included. */
const QUIET: Logger = {
  logQuery: () => undefined,
  logQueryError: () => undefined,
  logQuerySlow: () => undefined,
  logSchemaBuild: () => undefined,
  logMigration: () => undefined,
  log: () => undefined,
};

/** The store's tables through a connection pool of the `pg` driver, or what behaves like one. */
export function newDataSource(connection: Connection): DataSource {
  return new DataSource({
    type: 'postgres',
    entities: [policies, demand, demandChains, demandSeries, forecasts, decisions, projectionOffsets],
    migrations: MIGRATIONS,
    // None is used; looking for them would need rights that a server does not have to give.
    installExtensions: false,
    logger: QUIET,
    ...connection,
  });
}

/**
 * Brings the tables up to date, on a connection of its own whose statements may take {@link MIGRATION_DEADLINE_MS}.
 * Several processes may start at once: one migrates.
 */
export async function migrate(connection: Connection): Promise<void> {
  const dataSource = await newDataSource(connection).initialize();
  try {
    const runner = dataSource.createQueryRunner();
    try {
      await runLocked(dataSource, runner);
    } finally {
      await runner.release();
    }
  } finally {
    await dataSource.destroy();
  }
}

/** The lock ends with the connection when a migration fails. */
async function runLocked(dataSource: DataSource, runner: QueryRunner): Promise<void> {
  await runner.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
  const deadlineMs = performance.now() + MIGRATION_DEADLINE_MS;
  await runner.query(`set lock_timeout = ${ALTER_LOCK_TIMEOUT_MS}`);
  while (!(await runPending(dataSource, runner, deadlineMs))) await setTimeout(TRY_AGAIN_AFTER_MS);
  await runner.query('reset lock_timeout');
  await runner.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]);
}

/** False: somebody reads a table that is to be changed. The migrations before it stay. */
async function runPending(dataSource: DataSource, runner: QueryRunner, deadlineMs: number): Promise<boolean> {
  const executor = new MigrationExecutor(dataSource, runner);
  executor.transaction = 'each';
  try {
    await executor.executePendingMigrations();
    return true;
  } catch (error) {
    const isTaken = (error as { code?: string }).code === LOCK_NOT_AVAILABLE;
    if (!isTaken || performance.now() > deadlineMs) throw error;
    return false;
  }
}
