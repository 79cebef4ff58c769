import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { TlsOptions } from 'node:tls';
import { Loop, type LoopObserver } from '#adapters/loop';
import type { DataSource } from 'typeorm';
import { MIGRATION_DEADLINE_MS, migrate, newDataSource, type Connection } from '../data-source.js';
import { PARTITIONED } from '../partitions/partitioned-table.js';
import type { PostgresSettings } from '../store-settings.js';
import type { Store, StoreSnapshot } from '../store.js';
import { BOUNDED_DRIVER } from './bounded-pool.js';
import { Reachability } from './reachability.js';
import { StoreUnavailable, unavailable } from './store-unavailable.js';

const OLDEST_MAJOR = 15;
const CHECK_PERIOD_MS = 1_000;
const CHECK_TIMEOUT_MS = 5_000;
/** What a statement that has timed out at the server may still need to say so. */
const ANSWER_GRACE_MS = 5_000;

export interface PostgresStoreOptions {
  observer?: LoopObserver;
  /** False: the tables are left as they are, for whoever only reads them. */
  migrates?: boolean;
}

/**
 * Opens the store on a server. Throws StoreUnavailable. A connection that is lost is no end: `problem()` says so, and
 * the next query makes another one.
 */
export async function openPostgresStore(
  settings: PostgresSettings,
  { observer, migrates = true }: PostgresStoreOptions = {},
): Promise<Store> {
  const dataSource = await opened(settings, migrates);
  const reachability = new Reachability(dataSource);
  const checks = new Loop({
    name: 'store-check',
    periodMs: CHECK_PERIOD_MS,
    timeoutMs: CHECK_TIMEOUT_MS,
    run: () => reachability.check(),
    observer: observer ?? { ran: () => undefined, failed: () => undefined },
  });
  checks.start();
  return {
    dataSource,
    problem: () => reachability.problem,
    // A server that is away comes back.
    died: new Promise(() => undefined),
    snapshot: () => snapshotOf(dataSource, settings),
    close: async () => {
      await checks.stop();
      await dataSource.destroy();
    },
  };
}

async function opened(settings: PostgresSettings, migrates: boolean): Promise<DataSource> {
  const patient = { statementTimeoutMs: MIGRATION_DEADLINE_MS, lockTimeoutMs: MIGRATION_DEADLINE_MS };
  const dataSource = newDataSource(connectionOf(settings, settings));
  try {
    await dataSource.initialize();
    await checkVersion(dataSource);
    if (migrates) await migrate(connectionOf(settings, { ...settings, ...patient, maxConnections: 2 }));
    return dataSource;
  } catch (error) {
    if (dataSource.isInitialized) await dataSource.destroy();
    throw unavailable(error, settings);
  }
}

type Bounds = Omit<PostgresSettings, 'kind' | 'url' | 'passwordFile' | 'tls'>;

function connectionOf({ url, passwordFile, tls }: PostgresSettings, bounds: Bounds): Connection {
  const { hostname, port, username, pathname } = new URL(url);
  // Said now and by name; later it would be one failed connection among others.
  if (passwordFile !== undefined) readable('passwordFile', passwordFile);
  return {
    driver: BOUNDED_DRIVER,
    host: decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? 5432 : Number(port),
    username: decodeURIComponent(username),
    database: decodeURIComponent(pathname.slice(1)),
    ...(passwordFile !== undefined && { password: () => passwordIn(passwordFile) }),
    ...(tls !== undefined && { ssl: tlsOptionsOf(tls) }),
    poolSize: bounds.maxConnections,
    connectTimeoutMS: bounds.connectTimeoutMs,
    applicationName: 'headroom',
    // Whoever uses a connection that is lost is told; an unused one is replaced, and the checks say what is wrong.
    poolErrorHandler: () => undefined,
    extra: {
      answerTimeoutMs: bounds.statementTimeoutMs + ANSWER_GRACE_MS,
      statement_timeout: bounds.statementTimeoutMs,
      lock_timeout: bounds.lockTimeoutMs,
      idle_in_transaction_session_timeout: bounds.idleTimeoutMs,
      idleTimeoutMillis: bounds.idleTimeoutMs,
      keepAlive: true,
    },
  };
}

function tlsOptionsOf(tls: NonNullable<PostgresSettings['tls']>): TlsOptions {
  const { caFile, certFile, keyFile, serverName } = tls;
  return {
    rejectUnauthorized: true,
    ...(caFile !== undefined && { ca: readable('tls.caFile', caFile) }),
    ...(certFile !== undefined && { cert: readable('tls.certFile', certFile) }),
    ...(keyFile !== undefined && { key: readable('tls.keyFile', keyFile) }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

function readable(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const actual = (error as NodeJS.ErrnoException).code ?? 'another error';
    throw new StoreUnavailable('unusable', `store.${key}: must be a readable file, got ${actual} of ${file}`);
  }
}

async function passwordIn(file: string): Promise<string> {
  return (await readFile(file, 'utf8')).split(/\r?\n/)[0] as string;
}

/** Before anything is written. */
async function checkVersion(dataSource: DataSource): Promise<void> {
  const [{ version }] = await dataSource.query<[{ version: string }]>(
    `select current_setting('server_version') as version`,
  );
  if (Number.parseInt(version, 10) >= OLDEST_MAJOR) return;
  throw new StoreUnavailable('unusable', `store: PostgreSQL at least ${OLDEST_MAJOR}, got ${version}`);
}

/** Partitions are not dropped while it lasts, and the server keeps rows that were replaced meanwhile. */
async function snapshotOf(dataSource: DataSource, settings: PostgresSettings): Promise<StoreSnapshot> {
  const runner = dataSource.createQueryRunner();
  const close = async () => {
    try {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
    } finally {
      await runner.release();
    }
  };
  try {
    await runner.startTransaction('REPEATABLE READ');
    await runner.query('set transaction read only');
    await runner.query(`lock table ${Object.keys(PARTITIONED).join(', ')} in access share mode`);
    return { query: (sql, params) => runner.query(sql, params), close };
  } catch (error) {
    await close();
    throw unavailable(error, settings);
  }
}
