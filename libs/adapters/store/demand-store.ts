import { Any, type DataSource, type EntityManager } from 'typeorm';
import { emptyBucket, type Bucket } from '#domain/demand';
import { inStatements } from './bounded-statements.js';
import { KEEP_EIGHT_DAYS, PartitionedTable, type PartitionOptions } from './partitions/partitioned-table.js';
import { Projection, type ProjectionOffset, type ProjectionStep } from './projection.js';
import { demand, demandChains, demandSeries, type DemandChainRow, type DemandSeriesRow } from './tables.js';

export type { DemandChainRow, DemandSeriesRow } from './tables.js';

/** Pools of one statement of a snapshot: 2 MB of rows, after which the event loop gets its turn. */
const POOLS_PER_STATEMENT = 50;
/** Buckets of one page of arrivals: 300 kB of text, some milliseconds of this thread. */
export const ARRIVALS_PER_PAGE = 10_000;
/** Newest buckets of a pool whose sketches a snapshot holds, in characters of JSON: ten buckets of a busy pool, forty of a quiet one. */
const SKETCHES_CHARS = 12_288;

/** The counts of a bucket stand before its sketches: where the text of a bucket is cut to leave those out. */
const FIRST_SKETCH = ',"waitMs"';

/** The pool of the rows that say how far dropped chains of a source partition reached; none is named so. */
const DROPPED = '';

/** Whether nothing else is left of the pool of a row. */
const IS_GONE = `not exists (select from policies where policies.pool = kept.pool)
  and not exists (select from demand where demand.pool = kept.pool)`;

/** Later than any bucket. */
const NEVER_MS = Number.MAX_SAFE_INTEGER;

/** A pool, and how long the buckets are that are asked for: those of another length are left out. */
interface PoolBuckets {
  pool: string;
  bucketS: number;
}

export interface DemandWrite {
  buckets: { pool: string; bucket: Bucket }[];
  chains: DemandChainRow[];
  /** Those that begin. */
  series?: DemandSeriesRow[];
  step: ProjectionStep;
}

/** Where the table stands: what it includes, and the topic's offsets, of one moment. */
export interface DemandStanding {
  chains: DemandChainRow[];
  /** By source partition: how far the chains reached that were dropped with all that was left of their pools. */
  droppedTo: Map<number, number>;
  offsets: ProjectionOffset[];
}

/** See {@link DemandStore.poolStanding}. */
export interface PoolStanding {
  chains: DemandChainRow[];
  /** From when on buckets are of the length, see {@link startOf}. */
  fromMs: number;
  firstMs?: number;
  claim?: HistoryClaim;
}

/** Whose piece of a pool's past was let in last, see {@link DemandStore.claimHistory}. */
export interface HistoryClaim {
  /** Source partition of the history. */
  partition: number;
  /** End of the piece: the table holds the piece when it includes the source partition up to here. */
  toMs: number;
  /** One more with every claim. */
  serial: number;
  ageS: number;
}

export interface DemandSnapshot extends Pick<DemandStanding, 'droppedTo'> {
  offsets: ProjectionOffset[];
  /** `fromMs`: from when on buckets are of the length, see {@link startOf}. */
  pools: { pool: string; chains: DemandChainRow[]; fromMs: number; buckets: Bucket[] }[];
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
      ...(await allChains(transaction)),
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
      const upsert = (some: typeof rows) => transaction.upsert(demand, some, ['pool', 'startMs']);
      await inStatements(rows, upsert, ({ bucket }) => bucket.length);
      await inStatements(chains, (some) => transaction.upsert(demandChains, some, ['pool', 'partition']));
      await inStatements(series, (some) => transaction.upsert(demandSeries, some, ['pool']));
    });
  }

  /** How long the buckets of these pools are, and from when on: of those of which that was said. */
  seriesOf(pools: string[]): Promise<DemandSeriesRow[]> {
    return this.dataSource.getRepository(demandSeries).findBy({ pool: Any(pools) });
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
  async page(query: PoolBuckets & { beforeMs?: number | undefined; limit: number }): Promise<Bucket[]> {
    const { pool, beforeMs = NEVER_MS, limit } = query;
    const fromMs = await seriesStart(this.dataSource.manager, query);
    // As text: an entity for each row would cost as much as parsing what is in it.
    const rows = await this.dataSource.query<{ start: string | number; bucket: string }[]>(
      'select start_ms as start, bucket from demand where pool = $1 and start_ms < $2 order by start_ms desc limit $3',
      [pool, beforeMs, limit],
    );
    // With a second bound in the query the planner would expect a handful of rows, and sort all there are.
    const held = rows.filter(({ start }) => Number(start) >= fromMs);
    return held.map(({ bucket }) => JSON.parse(bucket) as Bucket);
  }

  /** What the table includes of a pool, by source partition. */
  async chainsOf(pool: string): Promise<DemandChainRow[]> {
    return this.dataSource.getRepository(demandChains).findBy({ pool });
  }

  /**
   * What the table includes of a pool, the start of its first bucket that a source partition whose offsets are times has
   * not included, and whose past comes in, of one moment.
   */
  poolStanding({ pool, bucketS, partition }: PoolBuckets & { partition: number }): Promise<PoolStanding> {
    return this.dataSource.transaction('REPEATABLE READ', async (transaction) => {
      const chains = await transaction.findBy(demandChains, { pool });
      const includedTo = chains.find((chain) => chain.partition === partition)?.nextOffset ?? 0;
      const fromMs = await seriesStart(transaction, { pool, bucketS });
      const firstMs = await firstStart(transaction, { pool, fromMs: Math.max(includedTo, fromMs) });
      const claim = await claimOf(transaction, pool);
      return {
        chains,
        fromMs,
        ...(firstMs !== undefined && { firstMs }),
        ...(claim !== undefined && { claim }),
      };
    });
  }

  /**
   * Lets a piece of a pool's past in, up to `toMs`, for whoever has seen the latest claim (undefined: that there is none).
   * False: somebody else was faster, and what was judged by may be so no more.
   */
  async claimHistory(
    { pool, partition, toMs }: { pool: string } & Pick<HistoryClaim, 'partition' | 'toMs'>,
    seen: HistoryClaim | undefined,
  ): Promise<boolean> {
    const claimed = await this.dataSource.query<{ pool: string }[]>(
      `insert into history_claims as held (pool, partition, to_ms, serial, claimed_at)
       values ($1, $2, $3, $4::int + 1, clock_timestamp())
       on conflict (pool) do update set partition = excluded.partition, to_ms = excluded.to_ms,
         serial = excluded.serial, claimed_at = excluded.claimed_at
       where held.serial = $4::int returning pool`,
      [pool, partition, toMs, seen?.serial ?? 0],
    );
    return claimed.length === 1;
  }

  /** Start of the first bucket at or after a time that the table holds. */
  async firstFrom(query: PoolBuckets & { fromMs: number }): Promise<number | undefined> {
    const { manager } = this.dataSource;
    const fromMs = Math.max(query.fromMs, await seriesStart(manager, query));
    return firstStart(manager, { pool: query.pool, fromMs });
  }

  /** Start of the last bucket, of whatever length, before a time that the table holds. */
  async lastBefore({ pool, beforeMs }: { pool: string; beforeMs: number }): Promise<number | undefined> {
    const rows = await this.dataSource.query<{ last: string | number | null }[]>(
      'select max(start_ms) as last from demand where pool = $1 and start_ms < $2',
      [pool, beforeMs],
    );
    const last = rows[0]?.last ?? null;
    return last === null ? undefined : Number(last);
  }

  /**
   * Arrivals of the buckets within [fromMs, toMs) that the table holds, oldest first: the first `limit` of them, at most
   * {@link ARRIVALS_PER_PAGE}. One without a row is not there.
   */
  async arrivalsPage(
    query: PoolBuckets & { fromMs: number; toMs: number; limit: number },
  ): Promise<{ startMs: number; arrivals: number }[]> {
    const { pool, toMs, limit } = query;
    const fromMs = Math.max(query.fromMs, await seriesStart(this.dataSource.manager, query));
    // One text: rows of their own would cost this thread more than what is in them.
    const rows = await this.dataSource.query<{ page: string | null }[]>(
      `select json_agg(json_build_array(start_ms, arrivals) order by start_ms)::text as page from (
         select start_ms, arrivals from demand
         where pool = $1 and start_ms >= $2 and start_ms < $3 order by start_ms limit $4
       ) as held`,
      [pool, fromMs, toMs, Math.min(limit, ARRIVALS_PER_PAGE)],
    );
    const page = JSON.parse(rows[0]?.page ?? '[]') as [number, number][];
    return page.map(([startMs, arrivals]) => ({ startMs, arrivals }));
  }

  /**
   * Of the buckets within [fromMs, toMs) that the table holds: the sum of their arrivals, and their number, each halved for
   * every half-life from its start to `toMs`.
   */
  async faded(
    query: PoolBuckets & { fromMs: number; toMs: number; halfLifeMs: number },
  ): Promise<{ arrivals: number; buckets: number }> {
    const { pool, toMs, halfLifeMs } = query;
    const fromMs = Math.max(query.fromMs, await seriesStart(this.dataSource.manager, query));
    const [row] = await this.dataSource.query<[{ arrivals: number; buckets: number }]>(
      `select coalesce(sum(arrivals * weight), 0) as arrivals, coalesce(sum(weight), 0) as buckets
       from (
         select arrivals, power(0.5::float8, ($3::bigint - start_ms) / $4::float8) as weight
         from demand where pool = $1 and start_ms >= $2 and start_ms < $3::bigint
       ) as held`,
      [pool, fromMs, toMs, halfLifeMs],
    );
    return { arrivals: Number(row.arrivals), buckets: Number(row.buckets) };
  }

  /**
   * What a reader of demand.v1 starts from: the topic's offsets, and of each pool buckets of a length within [fromMs, toMs),
   * oldest first, with what they include. A pool is of one moment, each of its own and after that of the offsets: what it
   * includes beyond them its reader meets again in the topic, and its chains say that it was seen. So nobody has to wait
   * until all of many pools are read. Sketches are those of the newest buckets; in the others they are empty, because
   * nobody reads so many and they are most of what there is to read.
   */
  async snapshot(of: {
    pools: (pool: string) => boolean;
    span: (pool: string) => { bucketS: number; fromMs: number; toMs: number };
  }): Promise<DemandSnapshot> {
    const { manager } = this.dataSource;
    const offsets = await this.projection.offsets();
    const owned = (await chainedPools(manager)).filter((pool) => of.pools(pool));
    const pools: DemandSnapshot['pools'] = [];
    for (let i = 0; i < owned.length; i += POOLS_PER_STATEMENT) {
      const spans = owned.slice(i, i + POOLS_PER_STATEMENT).map((pool) => ({ pool, ...of.span(pool) }));
      pools.push(...(await poolsWithin(manager, spans)));
    }
    // Last: what was dropped while the pools were read is in it.
    const dropped = await manager.findBy(demandChains, { pool: DROPPED });
    return { offsets, droppedTo: farthest(dropped), pools };
  }

  /** Drops what no pool keeps, and makes the partitions of what comes. */
  async retain(signal: AbortSignal): Promise<void> {
    await this.table.retain(signal);
    if (!signal.aborted) await this.dropChains();
    if (!signal.aborted) await this.dropSeries();
    if (!signal.aborted) await this.dropClaims();
  }

  /** Of pools that have neither a policy nor a bucket: what is left of those whose names are never used again. */
  private async dropChains(): Promise<void> {
    await this.dataSource.query(
      `with dropped as (
         delete from demand_chains as kept where pool <> $1::text and ${IS_GONE}
         returning partition, next_offset
       )
       insert into demand_chains as held (pool, partition, next_offset, backlog, in_flight)
       select $1::text, partition, max(next_offset), 0, 0 from dropped group by partition
       on conflict (pool, partition)
       do update set next_offset = greatest(held.next_offset, excluded.next_offset)`,
      [DROPPED],
    );
  }

  private async dropSeries(): Promise<void> {
    await this.dataSource.query(`delete from demand_series as kept where ${IS_GONE}`);
  }

  private async dropClaims(): Promise<void> {
    await this.dataSource.query(`delete from history_claims as kept where ${IS_GONE}`);
  }
}

/**
 * From when on the buckets of a pool are of a length: always while nobody has said how long they are,
 * {@link NEVER_MS} when they are of another.
 */
function startOf(series: DemandSeriesRow | null | undefined, bucketS: number): number {
  if (series === null || series === undefined) return 0;
  return series.bucketS === bucketS ? series.fromMs : NEVER_MS;
}

async function seriesStart(from: EntityManager, { pool, bucketS }: PoolBuckets): Promise<number> {
  return startOf(await from.findOneBy(demandSeries, { pool }), bucketS);
}

async function firstStart(
  from: EntityManager,
  { pool, fromMs }: { pool: string; fromMs: number },
): Promise<number | undefined> {
  const [row] = await from.query<{ first: string | number | null }[]>(
    'select min(start_ms) as first from demand where pool = $1 and start_ms >= $2',
    [pool, fromMs],
  );
  const first = row?.first ?? null;
  return first === null ? undefined : Number(first);
}

/** Its age by the clock of the store, which all processes share. */
async function claimOf(from: EntityManager, pool: string): Promise<HistoryClaim | undefined> {
  const [row] = await from.query<
    { partition: number; toMs: string | number; serial: number; ageS: number }[]
  >(
    `select partition, to_ms as "toMs", serial, extract(epoch from clock_timestamp() - claimed_at)::float8 as "ageS"
     from history_claims where pool = $1`,
    [pool],
  );
  return row && { ...row, toMs: Number(row.toMs) };
}

async function allChains(transaction: EntityManager): Promise<Omit<DemandStanding, 'offsets'>> {
  const rows = await transaction.find(demandChains);
  const dropped = rows.filter(({ pool }) => pool === DROPPED);
  return {
    chains: rows.filter(({ pool }) => pool !== DROPPED),
    droppedTo: farthest(dropped),
  };
}

function farthest(dropped: DemandChainRow[]): Map<number, number> {
  return new Map(dropped.map(({ partition, nextOffset }) => [partition, nextOffset]));
}

/** Pools of which the table includes something. */
async function chainedPools(from: EntityManager): Promise<string[]> {
  const [{ pools }] = await from.query<[{ pools: string | null }]>(
    `select json_agg(pool)::text as pools from (select distinct pool from demand_chains where pool <> $1) as chained`,
    [DROPPED],
  );
  return JSON.parse(pools ?? '[]') as string[];
}

/** One row for each pool: rows of their own would cost more than what is in them. One statement, and so one moment. */
async function poolsWithin(
  from: EntityManager,
  spans: (PoolBuckets & { fromMs: number; toMs: number })[],
): Promise<DemandSnapshot['pools']> {
  const rows = await from.query<
    { pool: string; chains: string; begins: string | number; buckets: string | null }[]
  >(
    `select span.pool, links.chains, series.begins, own.buckets
     from json_to_recordset($1::json) as span(pool text, "bucketS" float8, "fromMs" bigint, "toMs" bigint),
     lateral (
       select json_agg(json_build_array(partition, next_offset, backlog, in_flight) order by partition)::text as chains
       from demand_chains where demand_chains.pool = span.pool
     ) as links,
     lateral (
       select coalesce(
         max(case when bucket_s = "bucketS" then from_ms else ${NEVER_MS} end), 0
       ) as begins from demand_series where demand_series.pool = span.pool
     ) as series,
     lateral (
       select '[' || string_agg(
         case when chars <= ${SKETCHES_CHARS} then bucket
         else split_part(bucket, '${FIRST_SKETCH}', 1) || '}' end, ',' order by start_ms) || ']' as buckets
       from (
         select start_ms, bucket, sum(length(bucket)) over (order by start_ms desc) as chars
         from demand
         where pool = span.pool and start_ms >= greatest("fromMs", series.begins) and start_ms < "toMs"
       ) as newest
     ) as own where links.chains is not null`,
    [JSON.stringify(spans)],
  );
  return rows.map(({ pool, chains, begins, buckets }) => ({
    pool,
    chains: (JSON.parse(chains) as ChainColumns[]).map(([partition, nextOffset, backlog, inFlight]) => {
      return { pool, partition, nextOffset, backlog, inFlight };
    }),
    fromMs: Number(begins),
    buckets: (JSON.parse(buckets ?? '[]') as Bucket[]).map(completed),
  }));
}

type ChainColumns = [partition: number, nextOffset: number, backlog: number, inFlight: number];

function completed(bucket: Bucket): Bucket {
  return { ...emptyBucket(bucket.startMs), ...bucket };
}
