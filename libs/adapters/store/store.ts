import type { DataSource } from 'typeorm';

/** The store: TypeORM over PostgreSQL or the embedded engine, migrated. */
export interface Store {
  dataSource: DataSource;
  /** Why nothing can be written at the moment; undefined: it can. */
  problem(): string | undefined;
  /** Resolves with the reason when the store has ended for good: it is of no use from then on. */
  died: Promise<Error>;
  /** All tables as they are at one moment, for a backup. Others go on writing. */
  snapshot(): Promise<StoreSnapshot>;
  close(): Promise<void>;
}

/** One moment of the store, inside a transaction. It costs the store something until it is closed. */
export interface StoreSnapshot {
  query<Row>(sql: string, params?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}
