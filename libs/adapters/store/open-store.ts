import { DataSource } from 'typeorm';
import { Pools1764000000001 } from './migrations/1-pools.js';
import { EmbeddedPostgres } from './pglite/embedded-postgres.js';
import { freeBytesIn, spaceProblem } from './pglite/free-space.js';
import { pgDriverOver } from './pglite/pg-driver.js';
import { decisions, demand, demandChains, forecasts, policies, projectionOffsets } from './tables.js';

/** The store: TypeORM over the embedded engine, migrated. */
export interface Store {
  dataSource: DataSource;
  /** The engine under it, which the embedded event log shares. */
  engine: EmbeddedPostgres;
  /** Why nothing can be written at the moment; undefined: it can. */
  problem(): string | undefined;
  /** Resolves with the reason when the engine ends unasked: the store is of no use from then on. */
  died: Promise<Error>;
  close(): Promise<void>;
}

/** Opens the embedded store of a data directory. Throws DataDirectoryInUse, DataDirectoryFull. */
export async function openEmbeddedStore({ dataDir }: { dataDir: string }): Promise<Store> {
  const engine = await EmbeddedPostgres.open({ dataDir });
  const dataSource = new DataSource({
    type: 'postgres',
    driver: pgDriverOver(engine),
    entities: [policies, demand, demandChains, forecasts, decisions, projectionOffsets],
    migrations: [Pools1764000000001],
    migrationsRun: true,
    // The engine has neither extensions to install nor a server to ask for its version twice.
    installExtensions: false,
  });
  try {
    await dataSource.initialize();
  } catch (error) {
    await engine.close();
    throw error;
  }
  return {
    dataSource,
    engine,
    died: engine.died,
    problem: () => spaceProblem(freeBytesIn(dataDir))?.message,
    close: async () => {
      await dataSource.destroy();
      await engine.close();
    },
  };
}
