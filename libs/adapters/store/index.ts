export { DecisionStore, type DecisionRecord, type StoredDecision } from './decision-store.js';
export {
  DemandStore,
  type DemandChainRow,
  type DemandSnapshot,
  type DemandStanding,
  type DemandWrite,
} from './demand-store.js';
export { ForecastStore } from './forecast-store.js';
export { openEmbeddedStore, type Store } from './open-store.js';
export { DataDirectoryFull, DataDirectoryInUse, EmbeddedPostgres } from './pglite/embedded-postgres.js';
export { pgDriverOver } from './pglite/pg-driver.js';
export { PolicyStore, type PolicyRow, type SeenPolicy } from './policy-store.js';
export { ProjectionMoved, type ProjectionOffset, type ProjectionStep } from './projection.js';
