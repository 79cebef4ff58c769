import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Loop, type LoopObserver } from '#adapters/loop';
import { MIGRATION_DEADLINE_MS, migrate, newDataSource } from './data-source.js';
import { COPY_PREFIX } from './pglite/database-copy.js';
import { EmbeddedPostgres } from './pglite/embedded-postgres.js';
import { spaceProblemIn } from './pglite/free-space.js';
import { pgDriverOver } from './pglite/pg-driver.js';
import type { Store, StoreSnapshot } from './store.js';

/** The store of a data directory. */
export interface EmbeddedStore extends Store {
  /** Its engine, which the embedded event log shares. */
  engine: EmbeddedPostgres;
}

export interface EmbeddedStoreOptions {
  dataDir: string;
  /** Learns of each round of upkeep; left out, a failed one is a warning of the process. */
  observer?: LoopObserver;
  /** False: the tables are left as they are, for whoever only reads them. */
  migrates?: boolean;
  /** Longest transaction, ms, for whoever is alone in it; default: that of the engine's leases. */
  transactionTimeoutMs?: number;
}

const UPKEEP_PERIOD_MS = 300_000;
const UPKEEP_TIMEOUT_MS = 60_000;
const WARN: LoopObserver = { ran: () => undefined, failed: ({ error }) => process.emitWarning(error) };

/** Opens the embedded store of a data directory. Throws DataDirectoryInUse, DataDirectoryFull. */
export async function openEmbeddedStore(options: EmbeddedStoreOptions): Promise<EmbeddedStore> {
  const { dataDir, observer = WARN, migrates = true, transactionTimeoutMs: leaseTimeoutMs } = options;
  const engine = await EmbeddedPostgres.open({ dataDir });
  try {
    if (migrates) await migrate({ driver: pgDriverOver(engine, { leaseTimeoutMs: MIGRATION_DEADLINE_MS }) });
    const lease = leaseTimeoutMs === undefined ? {} : { leaseTimeoutMs };
    const dataSource = await newDataSource({ driver: pgDriverOver(engine, lease) }).initialize();
    const upkeep = upkeepOf(engine, observer);
    return {
      dataSource,
      engine,
      died: engine.died,
      problem: () => spaceProblemIn(dataDir),
      snapshot: () => snapshotOf(engine, dataDir),
      close: async () => {
        await upkeep.stop();
        await dataSource.destroy();
        await engine.close();
      },
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/**
 * What a server's background workers do: gives back the room of rows that were replaced. Without statistics: a sample of
 * every partition would hold up everybody for seconds, and every query has an index that it cannot but take.
 */
export const UPKEEP = 'vacuum';

function upkeepOf(engine: EmbeddedPostgres, observer: LoopObserver): { stop(): Promise<void> } {
  const loop = new Loop({
    name: 'store-upkeep',
    periodMs: UPKEEP_PERIOD_MS,
    timeoutMs: UPKEEP_TIMEOUT_MS,
    run: async () => {
      await engine.query(UPKEEP);
      await engine.query('checkpoint');
    },
    observer,
  });
  // A start has better things to do.
  const first = setTimeout(() => loop.start(), UPKEEP_PERIOD_MS);
  return {
    stop: async () => {
      clearTimeout(first);
      await loop.stop();
    },
  };
}

/**
 * The engine has one session, and a transaction that is long would stop everybody else: its files are copied between
 * two statements (what a killed process leaves, which it recovers from), and a second engine reads the copy.
 */
async function snapshotOf(engine: EmbeddedPostgres, dataDir: string): Promise<StoreSnapshot> {
  const folder = mkdtempSync(join(dataDir, COPY_PREFIX));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    await engine.copyTo(folder);
    const copy = await EmbeddedPostgres.open({ dataDir: folder });
    await copy.query('begin');
    return {
      query: async <Row>(sql: string, params?: unknown[]) => (await copy.query(sql, params)).rows as Row[],
      close: async () => {
        await copy.close();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
