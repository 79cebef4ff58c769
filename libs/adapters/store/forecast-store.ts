import type { DataSource } from 'typeorm';
import type { Forecast } from '#domain/forecasting';
import { Projection, type ProjectionStep } from './projection.js';
import { forecasts } from './tables.js';

/** Forecasts as they were made: the projection of `forecasts.v1`. */
export class ForecastStore {
  private readonly projection: Projection;

  constructor(private readonly dataSource: DataSource) {
    this.projection = new Projection(dataSource, 'forecasts');
  }

  startAt: Projection['startAt'] = (partitions) => this.projection.startAt(partitions);

  /** Throws ProjectionMoved. */
  async write({ made, step }: { made: Forecast[]; step: ProjectionStep }): Promise<void> {
    // A forecast that was made again after a restart replaces the first one: one statement must name it once.
    const rows = new Map(made.map((forecast) => [`${forecast.pool} ${forecast.originMs}`, forecast]));
    await this.projection.commit(step, async (transaction) => {
      if (rows.size === 0) return;
      const values = [...rows.values()].map((forecast) => {
        return { pool: forecast.pool, originMs: forecast.originMs, forecast: JSON.stringify(forecast) };
      });
      await transaction.upsert(forecasts, values, ['pool', 'originMs']);
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
    const rows = await this.dataSource.query<{ forecast: string }[]>(
      'select distinct on (pool) forecast from forecasts order by pool, origin_ms desc',
    );
    return rows.map(({ forecast }) => JSON.parse(forecast) as Forecast);
  }

  async dropBefore(query: { pool: string; beforeMs: number }): Promise<void> {
    await this.dataSource.query('delete from forecasts where pool = $1 and origin_ms < $2', [
      query.pool,
      query.beforeMs,
    ]);
  }
}
