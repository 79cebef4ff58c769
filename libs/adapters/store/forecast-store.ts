import type { DataSource } from 'typeorm';
import type { Forecast } from '#domain/forecasting';
import { inStatements } from './bounded-statements.js';
import {
  KEEP_EIGHT_DAYS,
  PartitionedTable,
  poolsIn,
  type PartitionOptions,
} from './partitions/partitioned-table.js';
import { Projection, type ProjectionStep } from './projection.js';
import { forecasts } from './tables.js';

/** Forecasts as they were made: the projection of `forecasts.v1`. */
export class ForecastStore {
  private readonly projection: Projection;
  private readonly table: PartitionedTable;

  constructor(
    private readonly dataSource: DataSource,
    options: PartitionOptions = KEEP_EIGHT_DAYS,
  ) {
    this.table = new PartitionedTable(dataSource, 'forecasts', options);
    this.projection = new Projection(dataSource, 'forecasts', this.table);
  }

  startAt: Projection['startAt'] = (partitions) => this.projection.startAt(partitions);

  /** Throws ProjectionMoved. */
  async write({ made, step }: { made: Forecast[]; step: ProjectionStep }): Promise<void> {
    // A forecast that was made again after a restart replaces the first one: one statement must name it once.
    const rows = new Map(made.map((forecast) => [`${forecast.pool} ${forecast.originMs}`, forecast]));
    const values = [...rows.values()].map((forecast) => {
      return { pool: forecast.pool, originMs: forecast.originMs, forecast: JSON.stringify(forecast) };
    });
    const times = values.map(({ originMs }) => originMs);
    await this.projection.commit({ step, times }, async (transaction) => {
      const upsert = (some: typeof values) => transaction.upsert(forecasts, some, ['pool', 'originMs']);
      await inStatements(values, upsert, ({ forecast }) => forecast.length);
    });
  }

  /** Newest first; the cursor is the origin of the last forecast of the page before. */
  async page(query: { pool: string; beforeMs?: number | undefined; limit: number }): Promise<Forecast[]> {
    const { pool, beforeMs = Number.MAX_SAFE_INTEGER, limit } = query;
    const page = this.dataSource.getRepository(forecasts).createQueryBuilder('f');
    page
      .where('f.pool = :pool and f.originMs < :beforeMs', { pool, beforeMs })
      .orderBy('f.originMs', 'DESC')
      .limit(limit);
    return (await page.getMany()).map(({ forecast }) => JSON.parse(forecast) as Forecast);
  }

  /** The newest forecast of every pool. */
  async latest(): Promise<Forecast[]> {
    const pools = await poolsIn(this.dataSource.manager, 'forecasts');
    const rows = await this.dataSource.query<{ forecast: string }[]>(
      `select newest.forecast from unnest($1::text[]) as own(pool), lateral (
         select forecast from forecasts where forecasts.pool = own.pool order by origin_ms desc limit 1
       ) as newest`,
      [pools],
    );
    return rows.map(({ forecast }) => JSON.parse(forecast) as Forecast);
  }

  /** From which bucket the newest forecast of every pool was made. */
  async latestOrigins(): Promise<Map<string, number>> {
    const pools = await poolsIn(this.dataSource.manager, 'forecasts');
    const rows = await this.dataSource.query<{ pool: string; origin: string | number }[]>(
      `select own.pool, newest.origin from unnest($1::text[]) as own(pool), lateral (
         select max(origin_ms) as origin from forecasts where forecasts.pool = own.pool
       ) as newest`,
      [pools],
    );
    return new Map(rows.map(({ pool, origin }) => [pool, Number(origin)]));
  }

  /** Drops what no pool keeps, and makes the partitions of what comes. */
  async retain(signal: AbortSignal): Promise<void> {
    await this.table.retain(signal);
  }
}
