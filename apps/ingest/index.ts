export {
  DEAD_LETTER_ROUTES,
  type LetterAnswer,
  type LetterSummary,
  type ReplayAnswer,
  type ReplayBody,
} from './dead-letter-routes.js';
export { MAX_REPLAYED_LETTERS } from './dead-letter-replay.js';
export { HISTORY_ROUTES } from './history.controller.js';
export { MAX_HISTORY_BUCKETS } from './history-import.js';
export { EVENT_ROUTES } from './events.controller.js';
export { WEBHOOK_ROUTES } from './webhooks.controller.js';
export { IngestObserver } from './ingest-observer.js';
export { IngestModule, type IngestModuleOptions } from './ingest.module.js';
export { type PoolSettings } from './pool-registry.js';
export { keptS as demandKeptS } from './retention.loop.js';
export { RecordSources, type DeclaredRecordSource, type EventSources } from './event-sources.module.js';
export type { SampledPool } from './sampled-demand.js';
