import { MoreThanOrEqual, type DataSource, type EntityManager } from 'typeorm';
import { emptyBucket, type Bucket } from '#domain/demand';
import { inStatements } from './bounded-statements.js';
import { KEEP_EIGHT_DAYS, PartitionedTable, type PartitionOptions } from './partitions/partitioned-table.js';
import { Projection, type ProjectionOffset, type ProjectionStep } from './projection.js';
import { demand, demandChains, demandSeries, type DemandChainRow, type DemandSeriesRow } from './tables.js';

export type { DemandChainRow, DemandSeriesRow } from './tables.js';

/** Pools of one statement of a snapshot: 2 MB of rows, after which the event loop gets its turn. */
const POOLS_PER_STATEMENT = 50;
/** Newest buckets of a pool whose sketches a snapshot holds, in characters of JSON: ten buckets of a busy pool, forty of a quiet one. */
const SKETCHES_CHARS = 12_288;

/** The counts of a bucket stand before its sketches: where the text of a bucket is cut to leave those out. */
const FIRST_SKETCH = ',"waitMs"';

export interface DemandWrite {
  buckets: { pool: string; bucket: Bucket }[];
  chains: DemandChainRow[];
  /** Of the pools whose series begins, or begins anew. */
  series?: DemandSeriesRow[];
  step: ProjectionStep;
}

/** Where the table stands: what it includes, and the topic's offsets, of one moment. */
export interface DemandStanding {
  chains: DemandChainRow[];
  series: DemandSeriesRow[];
  offsets: ProjectionOffset[];
}

export interface DemandSnapshot {
  offsets: ProjectionOffset[];
  pools: {
    pool: string;
    chains: DemandChainRow[];
    /** Of the length that was asked for; none when they are of another. */
    buckets: Bucket[];
    series: DemandSeriesRow | undefined;
  }[];
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
      series: await transaction.find(demandSeries),
      offsets: await this.projection.offsets(transaction),
    }));
  }

  /**
   * Replaces the buckets with their new sums, together with what they now include and the topic's offset. Throws
   * ProjectionMoved.
   */
  async write({ buckets, chains, series = [], step }: DemandWrite): Promise<void> {
    const rows = buckets.map(({ pool, bucket }) => {
      return { pool, startMs: bucket.startMs, arrivals: bucket.arrivals, bucket: JSON.stringify(bucket) };
    });
    const times = rows.map(({ startMs }) => startMs);
    await this.projection.commit({ step, times }, async (transaction) => {
      await inStatements(rows, (some) => transaction.upsert(demand, some, ['pool', 'startMs']));
      await inStatements(chains, (some) => transaction.upsert(demandChains, some, ['pool', 'partition']));
      await inStatements(series, (some) => transaction.upsert(demandSeries, some, ['pool']));
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

  /** Start of a pool's newest bucket, of whatever length, that begins before a time. */
  async newestBefore({ pool, beforeMs }: { pool: string; beforeMs: number }): Promise<number | undefined> {
    const [newest] = await this.dataSource.query<{ start_ms: string | number }[]>(
      'select start_ms from demand where pool = $1 and start_ms < $2 order by start_ms desc limit 1',
      [pool, beforeMs],
    );
    return newest && Number(newest.start_ms);
  }

  /** Buckets of a length, newest first; the cursor is the start of the last bucket of the page before. */
  async page(query: {
    pool: string;
    bucketS: number;
    beforeMs?: number | undefined;
    limit: number;
  }): Promise<Bucket[]> {
    const { pool, beforeMs = Number.MAX_SAFE_INTEGER, limit } = query;
    const fromMs = await this.seriesFromMs(query);
    if (fromMs === Infinity) return [];
    const page = this.dataSource.getRepository(demand).createQueryBuilder('d');
    page.where('d.pool = :pool and d.startMs < :beforeMs', { pool, beforeMs });
    // Without need a second bound would let the planner expect a handful of rows, and sort them all.
    if (fromMs > 0) page.andWhere('d.startMs >= :fromMs', { fromMs });
    page.orderBy('d.startMs', 'DESC').limit(limit);
    return (await page.getMany()).map(({ bucket }) => JSON.parse(bucket) as Bucket);
  }

  /** Arrivals only, in buckets of a length: the forecaster's history. */
  async arrivalsSince(query: {
    pool: string;
    bucketS: number;
    fromMs: number;
  }): Promise<{ startMs: number; arrivals: number }[]> {
    const fromMs = Math.max(query.fromMs, await this.seriesFromMs(query));
    if (fromMs === Infinity) return [];
    const where = { pool: query.pool, startMs: MoreThanOrEqual(fromMs) };
    const select = { startMs: true, arrivals: true, pool: true } as const;
    return this.dataSource.getRepository(demand).find({ where, select, order: { startMs: 'ASC' } });
  }

  /**
   * What a reader of demand.v1 starts from: buckets of a length within [fromMs, toMs) of each pool, oldest first, what they
   * include, and the topic's offsets they stand at, all of one moment. Sketches are those of the newest buckets; in the others
   * they are empty, because nobody reads so many and they are most of what there is to read.
   */
  snapshot(of: {
    pools: (pool: string) => boolean;
    span: (pool: string) => { bucketS: number; fromMs: number; toMs: number };
  }): Promise<DemandSnapshot> {
    return this.dataSource.transaction('REPEATABLE READ', async (transaction) => {
      const offsets = await this.projection.offsets(transaction);
      const chains = (await transaction.find(demandChains)).filter(({ pool }) => of.pools(pool));
      const owned = [...Map.groupBy(chains, (chain) => chain.pool)];
      const series = new Map((await transaction.find(demandSeries)).map((row) => [row.pool, row]));
      const pools: DemandSnapshot['pools'] = [];
      for (let i = 0; i < owned.length; i += POOLS_PER_STATEMENT) {
        const page = owned.slice(i, i + POOLS_PER_STATEMENT);
        const spans = page.flatMap(([pool]) => {
          const { bucketS, fromMs: spanFromMs, toMs } = of.span(pool);
          const fromMs = Math.max(spanFromMs, fromMsOf(series.get(pool), bucketS));
          return fromMs < toMs ? [{ pool, fromMs, toMs }] : [];
        });
        const buckets = await bucketsWithin(transaction, spans);
        for (const [pool, own] of page)
          pools.push({ pool, chains: own, buckets: buckets.get(pool) ?? [], series: series.get(pool) });
      }
      return { offsets, pools };
    });
  }

  private async seriesFromMs({ pool, bucketS }: { pool: string; bucketS: number }): Promise<number> {
    return fromMsOf(await this.dataSource.getRepository(demandSeries).findOneBy({ pool }), bucketS);
  }

  /** Drops what no pool keeps, and makes the partitions of what comes. */
  async retain(signal: AbortSignal): Promise<void> {
    await this.table.retain(signal);
  }
}

/** From when on a pool's buckets are of a length: always, when nobody has said how long they are; Infinity: they are not. */
function fromMsOf(series: DemandSeriesRow | null | undefined, bucketS: number): number {
  if (series === null || series === undefined) return -Infinity;
  return series.bucketS === bucketS ? series.fromMs : Infinity;
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
