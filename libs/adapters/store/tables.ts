import { EntitySchema } from 'typeorm';
import type { Decision, DecisionMemory, Policy } from '#domain/scaling';

/** bigint columns arrive as text from one driver and as numbers from the other. */
const asNumber = { to: (value: number) => value, from: (value: string | number) => Number(value) };
const bigint = { type: 'bigint', transformer: asNumber } as const;

export interface PolicyRow {
  pool: string;
  version: number;
  updatedAtMs: number;
  policy: Policy;
}
export const policies = new EntitySchema<PolicyRow>({
  name: 'policies',
  columns: {
    pool: { type: 'text', primary: true },
    version: { type: 'int' },
    updatedAtMs: { ...bigint, name: 'updated_at_ms' },
    policy: { type: 'jsonb' },
  },
});

export interface DemandRow {
  pool: string;
  startMs: number;
  arrivals: number;
  /** Bucket as JSON text: jsonb costs the embedded engine ten times as much. */
  bucket: string;
}
export const demand = new EntitySchema<DemandRow>({
  name: 'demand',
  columns: {
    pool: { type: 'text', primary: true },
    startMs: { ...bigint, name: 'start_ms', primary: true },
    arrivals: { type: 'double precision' },
    bucket: { type: 'text' },
  },
});

/** What the table includes of one source partition, and what it leaves open: outlives the buckets it came from. */
export interface DemandChainRow {
  pool: string;
  partition: number;
  nextOffset: number;
  /** Attempts waiting and being served. */
  backlog: number;
  inFlight: number;
}
export const demandChains = new EntitySchema<DemandChainRow>({
  name: 'demand_chains',
  columns: {
    pool: { type: 'text', primary: true },
    partition: { type: 'int', primary: true },
    nextOffset: { ...bigint, name: 'next_offset' },
    backlog: { type: 'int' },
    inFlight: { type: 'int', name: 'in_flight' },
  },
});

/** The buckets of a pool that belong together: of this length, from this time on. Older ones may have had another. */
export interface DemandSeriesRow {
  pool: string;
  bucketS: number;
  fromMs: number;
}
export const demandSeries = new EntitySchema<DemandSeriesRow>({
  name: 'demand_series',
  columns: {
    pool: { type: 'text', primary: true },
    bucketS: { type: 'int', name: 'bucket_s' },
    fromMs: { ...bigint, name: 'from_ms' },
  },
});

export interface ForecastRow {
  pool: string;
  originMs: number;
  forecast: string;
}
export const forecasts = new EntitySchema<ForecastRow>({
  name: 'forecasts',
  columns: {
    pool: { type: 'text', primary: true },
    originMs: { ...bigint, name: 'origin_ms', primary: true },
    forecast: { type: 'text' },
  },
});

export interface DecisionRow {
  id: number;
  pool: string;
  kind: string;
  firstAtMs: number;
  lastAtMs: number;
  count: number;
  decision: Decision;
  memory: DecisionMemory;
  policyVersion: number;
}
export const decisions = new EntitySchema<DecisionRow>({
  name: 'decisions',
  columns: {
    id: { ...bigint, primary: true, generated: 'increment' },
    pool: { type: 'text' },
    kind: { type: 'text' },
    firstAtMs: { ...bigint, name: 'first_at_ms' },
    lastAtMs: { ...bigint, name: 'last_at_ms' },
    count: { type: 'int' },
    decision: { type: 'jsonb' },
    memory: { type: 'jsonb' },
    policyVersion: { type: 'int', name: 'policy_version' },
  },
});

export interface ProjectionOffsetRow {
  projection: string;
  topic: string;
  partition: number;
  nextOffset: number;
}
export const projectionOffsets = new EntitySchema<ProjectionOffsetRow>({
  name: 'projection_offsets',
  columns: {
    projection: { type: 'text', primary: true },
    topic: { type: 'text', primary: true },
    partition: { type: 'int', primary: true },
    nextOffset: { ...bigint, name: 'next_offset' },
  },
});
