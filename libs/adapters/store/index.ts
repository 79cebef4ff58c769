export { BackupRefused, type BackupHeader } from './backup/backup-format.js';
export { backupStream } from './backup/backup-stream.js';
export { readBackup, type BackupPart } from './backup/read-backup.js';
export { restoreBackup, tablesInUse } from './backup/restore-backup.js';
export { DecisionStore, type DecisionRecord, type StoredDecision } from './decision-store.js';
export {
  ARRIVALS_PER_PAGE,
  DemandStore,
  type DemandChainRow,
  type DemandSeriesRow,
  type DemandWrite,
  type HistoryClaim,
  type PoolStanding,
} from './demand-store.js';
export { ForecastStore } from './forecast-store.js';
export { openEmbeddedStore, type EmbeddedStore } from './embedded-store.js';
export { DataDirectoryFull, DataDirectoryInUse, EmbeddedPostgres } from './pglite/embedded-postgres.js';
export { COPY_TOO_LONG } from './pglite/database-copy.js';
export { spaceProblemIn } from './pglite/free-space.js';
export { KEEP_EIGHT_DAYS, type PartitionOptions, type Retention } from './partitions/partitioned-table.js';
export { PolicyStore, type PolicyRow, type SeenPolicy } from './policy-store.js';
export { ProjectionMoved, type ProjectionOffset, type ProjectionStep } from './projection.js';
export type { Store, StoreSnapshot } from './store.js';
// PostgreSQL's client is loaded only where a server is used: #adapters/store/postgres.
export { StoreUnavailable } from './postgres/store-unavailable.js';
export { storeSchema, type PostgresSettings, type StoreSettings } from './store-settings.js';
