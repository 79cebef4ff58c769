import { MoreThanOrEqual, type DataSource, type EntityManager } from 'typeorm';
import { emptyBucket, type Bucket } from '#domain/demand';
import { KEEP_EIGHT_DAYS, PartitionedTable, type PartitionOptions } from './partitions/partitioned-table.js';
import { Projection, type ProjectionOffset, type ProjectionStep } from './projection.js';
import { demand, demandChains, type DemandChainRow } from './tables.js';

export type { DemandChainRow } from './tables.js';

/** Rows of one statement: the engine takes 65,535 parameters. */
const ROWS_PER_STATEMENT = 1_000;
/** Pools of one statement of a snapshot: 2 MB of rows, after which the event loop gets its turn. */
const POOLS_PER_STATEMENT = 50;
/** Newest buckets of a pool whose sketches a snapshot holds, in characters of JSON: ten buckets of a busy pool, forty of a quiet one. */
const SKETCHES_CHARS = 12_288;

/** The counts of a bucket stand before its sketches: where the text of a bucket is cut to leave those out. */
const FIRST_SKETCH = ',"waitMs"';

export interface DemandWrite {
  buckets: { pool: string; bucket: Bucket }[];
  chains: DemandChainRow[];
  step: ProjectionStep;
}

/** Where the table stands: what it includes, and the topic's offsets, of one moment. */
export interface DemandStanding {
  chains: DemandChainRow[];
  offsets: ProjectionOffset[];
}

export interface DemandSnapshot {
  offsets: ProjectionOffset[];
  pools: { pool: string; chains: DemandChainRow[]; buckets: Bucket[] }[];
}

/** Demand by pool and bucket: the projection of `demand.v1`. */
export class DemandStore {
  private readonly projection: Projection;
  private readonly table: PartitionedTable;

  constructor(
    private readonly dataSource: DataSource,
    options: PartitionOptions = KEEP_EIGHT_DAYS,
  ) {
    this.table = new PartitionedTable(dataSource, 'demand', options);
    this.projection = new Projection(dataSource, 'demand', this.table);
  }

  /** What whoever writes the table starts from. */
  standing(): Promise<DemandStanding> {
    return this.dataSource.transaction('REPEATABLE READ', async (transaction) => ({
      chains: await transaction.find(demandChains),
      offsets: await this.projection.offsets(transaction),
    }));
  }

  /**
   * Replaces the buckets with their new sums, together with what they now include and the topic's offset. Throws
   * ProjectionMoved.
   */
  async write({ buckets, chains, step }: DemandWrite): Promise<void> {
    const rows = buckets.map(({ pool, bucket }) => {
      return { pool, startMs: bucket.startMs, arrivals: bucket.arrivals, bucket: JSON.stringify(bucket) };
    });
    const times = rows.map(({ startMs }) => startMs);
    await this.projection.commit({ step, times }, async (transaction) => {
      await upsertAll(transaction, demand, rows, ['pool', 'startMs']);
      await upsertAll(transaction, demandChains, chains, ['pool', 'partition']);
    });
  }

  /** The buckets among these that the table holds. */
  async at(places: { pool: string; startMs: number }[]): Promise<{ pool: string; bucket: Bucket }[]> {
    if (places.length === 0) return [];
    const keys = places.map(({ pool, startMs }) => ({ pool, start_ms: startMs }));
    const starts = places.map(({ startMs }) => startMs);
    // The bounds tell which partitions need not be looked at.
    const rows = await this.dataSource.query<{ pool: string; bucket: string }[]>(
      `select pool, bucket from demand
       join json_to_recordset($1::json) as place(pool text, start_ms bigint) using (pool, start_ms)
       where start_ms between $2 and $3`,
      [JSON.stringify(keys), Math.min(...starts), Math.max(...starts)],
    );
    return rows.map(({ pool, bucket }) => ({ pool, bucket: JSON.parse(bucket) as Bucket }));
  }

  /** Newest first; the cursor is the start of the last bucket of the page before. */
  async page(query: { pool: string; beforeMs?: number | undefined; limit: number }): Promise<Bucket[]> {
    const { pool, beforeMs = Number.MAX_SAFE_INTEGER, limit } = query;
    const page = this.dataSource.getRepository(demand).createQueryBuilder('d');
    page
      .where('d.pool = :pool and d.startMs < :beforeMs', { pool, beforeMs })
      .orderBy('d.startMs', 'DESC')
      .limit(limit);
    return (await page.getMany()).map(({ bucket }) => JSON.parse(bucket) as Bucket);
  }

  /** Whole buckets since a time, oldest first: what a reader of demand.v1 starts from. */
  async since(query: { pool: string; fromMs: number }): Promise<Bucket[]> {
    const where = { pool: query.pool, startMs: MoreThanOrEqual(query.fromMs) };
    const rows = await this.dataSource.getRepository(demand).find({ where, order: { startMs: 'ASC' } });
    return rows.map(({ bucket }) => JSON.parse(bucket) as Bucket);
  }

  /** Arrivals only: the forecaster's history. */
  async arrivalsSince(query: {
    pool: string;
    fromMs: number;
  }): Promise<{ startMs: number; arrivals: number }[]> {
    const where = { pool: query.pool, startMs: MoreThanOrEqual(query.fromMs) };
    const select = { startMs: true, arrivals: true, pool: true } as const;
    return this.dataSource.getRepository(demand).find({ where, select, order: { startMs: 'ASC' } });
  }

  /**
   * What a reader of demand.v1 starts from: buckets within [fromMs, toMs) of each pool, oldest first, what they include,
   * and the topic's offsets they stand at, all of one moment. Sketches are those of the newest buckets; in the others
   * they are empty, because nobody reads so many and they are most of what there is to read.
   */
  snapshot(of: {
    pools: (pool: string) => boolean;
    span: (pool: string) => { fromMs: number; toMs: number };
  }): Promise<DemandSnapshot> {
    return this.dataSource.transaction('REPEATABLE READ', async (transaction) => {
      const offsets = await this.projection.offsets(transaction);
      const chains = (await transaction.find(demandChains)).filter(({ pool }) => of.pools(pool));
      const owned = [...Map.groupBy(chains, (chain) => chain.pool)];
      const pools: DemandSnapshot['pools'] = [];
      for (let i = 0; i < owned.length; i += POOLS_PER_STATEMENT) {
        const page = owned.slice(i, i + POOLS_PER_STATEMENT);
        const spans = page.map(([pool]) => ({ pool, ...of.span(pool) }));
        const buckets = await bucketsWithin(transaction, spans);
        for (const [pool, own] of page) pools.push({ pool, chains: own, buckets: buckets.get(pool) ?? [] });
      }
      return { offsets, pools };
    });
  }

  /** Pools that were ever counted, those that have lost their policy too. */
  async pools(): Promise<string[]> {
    const rows = await this.dataSource.query<{ pool: string }[]>('select distinct pool from demand_chains');
    return rows.map(({ pool }) => pool);
  }

  /** Everything ever counted for a pool. */
  async totalArrivals(pool: string): Promise<number> {
    const rows = await this.dataSource.query<{ total: number }[]>(
      'select coalesce(sum(arrivals), 0) as total from demand where pool = $1',
      [pool],
    );
    return Number(rows[0]?.total);
  }

  /** Drops what no pool keeps, and makes the partitions of what comes. */
  async retain(signal: AbortSignal): Promise<void> {
    await this.table.retain(signal);
  }
}

/** One row for each pool: rows of their own would cost more than what is in them. */
async function bucketsWithin(
  transaction: EntityManager,
  spans: { pool: string; fromMs: number; toMs: number }[],
): Promise<Map<string, Bucket[]>> {
  const rows = await transaction.query<{ pool: string; buckets: string }[]>(
    `select span.pool, own.buckets
     from json_to_recordset($1::json) as span(pool text, "fromMs" bigint, "toMs" bigint),
     lateral (
       select '[' || string_agg(
         case when chars <= ${SKETCHES_CHARS} then bucket
         else split_part(bucket, '${FIRST_SKETCH}', 1) || '}' end, ',' order by start_ms) || ']' as buckets
       from (
         select start_ms, bucket, sum(length(bucket)) over (order by start_ms desc) as chars
         from demand where pool = span.pool and start_ms >= "fromMs" and start_ms < "toMs"
       ) as newest
     ) as own where own.buckets is not null`,
    [JSON.stringify(spans)],
  );
  return new Map(rows.map(({ pool, buckets }) => [pool, (JSON.parse(buckets) as Bucket[]).map(completed)]));
}

function completed(bucket: Bucket): Bucket {
  return { ...emptyBucket(bucket.startMs), ...bucket };
}

async function upsertAll<Row extends object>(
  transaction: EntityManager,
  table: Parameters<EntityManager['upsert']>[0],
  rows: Row[],
  key: string[],
): Promise<void> {
  for (let i = 0; i < rows.length; i += ROWS_PER_STATEMENT) {
    await transaction.upsert(table, rows.slice(i, i + ROWS_PER_STATEMENT), key);
  }
}
