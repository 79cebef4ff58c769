import type { TopicSpec } from './event-log.js';

/** Every topic of the program; what each carries is in docs/ARCHITECTURE.md. */
export const TOPICS = {
  executions: 'executions.v1',
  /** State of ingest, partition by partition of `executions`: compacted. */
  ingestState: 'ingest-state.v1',
  deadLetters: 'executions.dlq.v1',
  /** Demand partials, keyed by pool. */
  demand: 'demand.v1',
  /** The latest forecast of each pool: compacted, keyed by pool. */
  forecasts: 'forecasts.v1',
  decisions: 'decisions.v1',
} as const;

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** A restart of ingest reads a dedupe window and a half again; the rest is for clocks that differ. */
const KEPT_DEDUPE_WINDOWS = 3;
const MIN_EXECUTIONS_RETENTION_MS = 15 * MINUTE_MS;

/**
 * The topics as one deployment has them. `partitions` is that of `executions` and cannot change later; one pool's
 * demand, forecasts and decisions lie in one partition each, so that their order is kept. `executionsRetentionS`: how
 * long ingest may stand still before events are lost to it, where a log drops what nobody has read; default: a day.
 */
export function topicSpecs(given: {
  partitions: number;
  dedupeWindowS: number;
  executionsRetentionS?: number;
}): TopicSpec[] {
  const { partitions, dedupeWindowS, executionsRetentionS = DAY_MS / 1000 } = given;
  const windowsMs = KEPT_DEDUPE_WINDOWS * dedupeWindowS * 1000;
  const executionsMs = Math.max(MIN_EXECUTIONS_RETENTION_MS, windowsMs, executionsRetentionS * 1000);
  return [
    { name: TOPICS.executions, partitions, retentionMs: executionsMs, compacted: false, isOpen: true },
    { name: TOPICS.ingestState, partitions, retentionMs: 0, compacted: true },
    {
      name: TOPICS.deadLetters,
      partitions: 1,
      morePartitions: true,
      retentionMs: 7 * DAY_MS,
      compacted: false,
    },
    { name: TOPICS.demand, partitions, retentionMs: DAY_MS, compacted: false },
    { name: TOPICS.forecasts, partitions, retentionMs: 0, compacted: true },
    { name: TOPICS.decisions, partitions, retentionMs: DAY_MS, compacted: false },
  ];
}
