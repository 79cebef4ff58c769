import { Controller } from '@nestjs/common';
import type { z } from 'zod';
import { Endpoint, FromParams, FromQuery } from '#adapters/http-api';
import {
  DecisionStore,
  DemandStore,
  ForecastStore,
  PolicyStore,
  type PolicyRow,
  type StoredDecision,
} from '#adapters/store';
import { sketchMean, sketchQuantile, type Bucket, type Sketch } from '#domain/demand';
import { decisionIdOf } from '#domain/scaling';
import { FleetViews } from './fleet-views.js';
import { unknownPool } from './policies.controller.js';
import {
  AUTOSCALER_ROUTES as ROUTES,
  pageQuery,
  poolParams,
  type decisionAnswer,
  type demandAnswer,
} from './routes.js';

type PoolParams = z.output<typeof poolParams>;
interface SeriesQuery {
  limit: number;
  cursor?: number | undefined;
}

/** Answers from the store and the fleet alone: the same in every process, whoever decides for the pool. */
@Controller()
export class PoolsController {
  constructor(
    private readonly policies: PolicyStore,
    private readonly fleets: FleetViews,
    private readonly demandStore: DemandStore,
    private readonly forecastStore: ForecastStore,
    private readonly decisionStore: DecisionStore,
  ) {}

  @Endpoint(ROUTES.listPools)
  async list(@FromQuery(pageQuery) { limit, cursor }: z.output<typeof pageQuery>) {
    const rows = await this.policies.page({ after: cursor, limit });
    const items = await this.answersOf(rows);
    return { items, nextCursor: rows.length === limit ? (rows.at(-1)?.pool ?? null) : null };
  }

  @Endpoint(ROUTES.getPool)
  async get(@FromParams(poolParams) { pool }: PoolParams) {
    const [answer] = await this.answersOf([await this.known(pool)]);
    return answer;
  }

  @Endpoint(ROUTES.demand)
  async demand(
    @FromParams(poolParams) { pool }: PoolParams,
    @FromQuery(ROUTES.demand.query) { limit, cursor }: SeriesQuery,
  ) {
    await this.known(pool);
    const { bucketS } = this.fleets.settingsOf(pool);
    const buckets = await this.demandStore.page({ pool, bucketS, beforeMs: cursor, limit });
    return paged(
      buckets.map((bucket) => demandOf(bucket, bucketS)),
      { limit, last: buckets.at(-1)?.startMs },
    );
  }

  @Endpoint(ROUTES.forecast)
  async forecast(
    @FromParams(poolParams) { pool }: PoolParams,
    @FromQuery(ROUTES.forecast.query) { limit, cursor }: SeriesQuery,
  ) {
    await this.known(pool);
    const forecasts = await this.forecastStore.page({ pool, beforeMs: cursor, limit });
    return paged(forecasts, { limit, last: forecasts.at(-1)?.originMs });
  }

  @Endpoint(ROUTES.decisions)
  async decisions(
    @FromParams(poolParams) { pool }: PoolParams,
    @FromQuery(ROUTES.decisions.query) { limit, cursor }: SeriesQuery,
  ) {
    await this.known(pool);
    const rows = await this.decisionStore.page({ pool, beforeId: cursor, limit });
    return paged(rows.map(decisionOf), { limit, last: rows.at(-1)?.id });
  }

  private async known(pool: string): Promise<PolicyRow> {
    const row = await this.policies.get(pool);
    if (row === null) throw unknownPool(pool);
    return row;
  }

  private async answersOf(rows: PolicyRow[]) {
    const latest = await this.decisionStore.latestOf(rows.map(({ pool }) => pool));
    return Promise.all(rows.map((row) => this.answerOf(row, latest.get(row.pool))));
  }

  private async answerOf({ pool, policy, version }: PolicyRow, last: StoredDecision | undefined) {
    const { bucketS, seasonsS } = this.fleets.settingsOf(pool);
    const decision = last && {
      kind: last.decision.kind,
      desired: last.decision.desired,
      reason: last.decision.reason,
      explanation: last.decision.explanation,
    };
    const workers = await this.fleets.of(pool);
    return {
      pool,
      bucketS,
      seasonsS: [...seasonsS],
      mode: policy.mode,
      policyVersion: version,
      workers: workers ?? null,
      decision: decision ?? null,
    };
  }
}

function paged<T>(items: T[], page: { limit: number; last: number | undefined }) {
  return { items, nextCursor: items.length === page.limit ? (page.last ?? null) : null };
}

function demandOf(bucket: Bucket, bucketS: number): z.output<typeof demandAnswer> {
  const { startMs, waitMs, serviceMs, responseMs, ...counts } = bucket;
  return {
    start: new Date(startMs).toISOString(),
    bucketS,
    ...counts,
    wait: latencyOf(waitMs),
    service: latencyOf(serviceMs),
    response: latencyOf(responseMs),
  };
}

function latencyOf(sketch: Sketch): z.output<typeof demandAnswer>['wait'] {
  const meanMs = sketchMean(sketch);
  if (meanMs === undefined) return null;
  const [p50Ms, p95Ms, p99Ms] = [0.5, 0.95, 0.99].map((q) => sketchQuantile(sketch, q) as number) as [
    number,
    number,
    number,
  ];
  return { count: sketch.count, meanMs, p50Ms, p95Ms, p99Ms };
}

function decisionOf(row: StoredDecision): z.output<typeof decisionAnswer> {
  const { firstAtMs, lastAtMs, count, decision, memory, policyVersion } = row;
  const { atMs: _, ...rest } = decision;
  return {
    id: decisionIdOf({ pool: decision.pool, atMs: firstAtMs }),
    firstAt: new Date(firstAtMs).toISOString(),
    lastAt: new Date(lastAtMs).toISOString(),
    count,
    ...rest,
    memory: { ...memory },
    policyVersion,
  };
}
