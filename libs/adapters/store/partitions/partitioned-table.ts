import type { DataSource, EntityManager } from 'typeorm';
import { holds, partitionFor, type TimeRange } from './partition-plan.js';

/** The tables that are cut by time, and the column that says where a row belongs. */
export const PARTITIONED = {
  demand: 'start_ms',
  forecasts: 'origin_ms',
  decisions: 'last_at_ms',
} as const;
export type PartitionedName = keyof typeof PARTITIONED;

/** How long a table keeps the rows of each pool. */
export interface Retention {
  keptMs(pool: string): number;
  /** Every value that `keptMs` can have, ms. */
  valuesMs: readonly number[];
}

export interface PartitionOptions {
  retention: Retention;
  nowMs(): number;
  /** Every partition that is made or given up. `waiting`: somebody reads it, the next round tries again. */
  observe(event: { table: PartitionedName; outcome: 'created' | 'dropped' | 'waiting' }): void;
}

export interface Partition extends TimeRange {
  name: string;
}

/** PostgreSQL's advisory lock of whoever makes or drops partitions: one at a time, in all processes together. */
const PARTITIONS_LOCK = 4_711_002;
/** Dropping stops every reader of the table while it waits for its turn: it gives up soon, and tries the next time. */
const DROP_LOCK_TIMEOUT_MS = 200;
/** SQLSTATE `lock_not_available`. */
const LOCK_NOT_AVAILABLE = '55P03';
/** Rows of one statement that deletes: the embedded engine does nothing else meanwhile. */
const ROWS_PER_DELETE = 5_000;

/**
 * A table whose rows lie in partitions by their time. Partitions are made ahead of time and when a row needs one, and
 * dropped as a whole when no pool keeps what is in them; from those that some pools still need, the rows of the others
 * are deleted.
 */
export class PartitionedTable {
  /** As this process has last seen them: only added to, until a write fails. */
  private known: readonly TimeRange[] = [];
  /** How many of the retention's values each partition was swept for. */
  private readonly swept = new Map<string, number>();

  constructor(
    private readonly dataSource: DataSource,
    private readonly table: PartitionedName,
    private readonly options: PartitionOptions,
  ) {}

  /**
   * Makes the partitions that rows of these times need: before the transaction that writes them, or `within` it, where
   * nobody else writes.
   */
  async cover(times: readonly number[], within?: EntityManager): Promise<void> {
    // What is no integer has no partition; the database will say what is wrong with it.
    const missing = times.filter((atMs) => Number.isSafeInteger(atMs) && !isIn(this.known, atMs));
    if (missing.length === 0) return;
    this.known = await (within === undefined
      ? this.dataSource.transaction((transaction) => this.create(missing, transaction))
      : this.create(missing, within));
  }

  /** Another process may have dropped what this one knows. */
  forget(): void {
    this.known = [];
  }

  /** Makes the next partitions, drops and deletes what no pool keeps. Stops between two statements when told to. */
  async retain(signal: AbortSignal): Promise<void> {
    const { retention } = this.options;
    const nowMs = this.options.nowMs();
    await this.prepare();
    for (const partition of await this.partitions()) {
      const kept = retention.valuesMs.filter((keptMs) => partition.toMs > nowMs - keptMs);
      if (kept.length === 0) await this.drop(partition);
      else await this.sweep(partition, { nowMs, kept: kept.length, signal });
      if (signal.aborted) return;
    }
  }

  /** Those of now and of what comes after it. */
  async prepare(): Promise<void> {
    const nowMs = this.options.nowMs();
    await this.cover([nowMs]);
    const current = this.known.find((range) => holds(range, nowMs));
    if (current !== undefined) await this.cover([current.toMs]);
  }

  /** Oldest first. */
  partitions(): Promise<Partition[]> {
    return partitionsOf(this.dataSource.manager, this.table);
  }

  async drop({ name }: Partition): Promise<void> {
    const { table } = this;
    try {
      await this.dataSource.transaction(async (transaction) => {
        await transaction.query(`set local lock_timeout = ${DROP_LOCK_TIMEOUT_MS}`);
        await lockPartitions(transaction);
        await transaction.query(`drop table if exists "${name}"`);
      });
    } catch (error) {
      if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE) throw error;
      this.options.observe({ table, outcome: 'waiting' });
      return;
    }
    this.forget();
    this.swept.delete(name);
    this.options.observe({ table, outcome: 'dropped' });
  }

  private async create(times: readonly number[], transaction: EntityManager): Promise<TimeRange[]> {
    const { retention, nowMs, observe } = this.options;
    const keptMs = Math.max(...retention.valuesMs);
    await lockPartitions(transaction);
    const taken: TimeRange[] = await partitionsOf(transaction, this.table);
    for (const atMs of times) {
      if (isIn(taken, atMs)) continue;
      const range = partitionFor(atMs, { keptMs, nowMs: nowMs(), taken });
      await createPartition(transaction, this.table, range);
      taken.push(range);
      observe({ table: this.table, outcome: 'created' });
    }
    return taken;
  }

  private async sweep(
    partition: Partition,
    { nowMs, kept, signal }: { nowMs: number; kept: number; signal: AbortSignal },
  ): Promise<void> {
    const { retention } = this.options;
    const expired = retention.valuesMs.length - kept;
    if ((this.swept.get(partition.name) ?? 0) === expired) return;
    const isExpired = (pool: string) => partition.toMs <= nowMs - retention.keptMs(pool);
    for (const pool of (await this.poolsOf(partition)).filter(isExpired)) {
      if (!(await this.deletePool(partition, { pool, signal }))) return;
    }
    this.swept.set(partition.name, expired);
  }

  private poolsOf({ name }: Partition): Promise<string[]> {
    return poolsIn(this.dataSource.manager, name);
  }

  /** False when it was told to stop before it was done. */
  private async deletePool(
    { name }: Partition,
    { pool, signal }: { pool: string; signal: AbortSignal },
  ): Promise<boolean> {
    const sql = `delete from "${name}" where ctid = any(array(
      select ctid from "${name}" where pool = $1 limit ${ROWS_PER_DELETE}))`;
    for (;;) {
      const [, rows] = await this.dataSource.query<[unknown[], number]>(sql, [pool]);
      if (rows < ROWS_PER_DELETE) return true;
      if (signal.aborted) return false;
    }
  }
}

/** For readers, and for writers whose pools need no other: a day of seasons, eight of them. */
export const KEEP_EIGHT_DAYS: PartitionOptions = {
  retention: { keptMs: () => 8 * 86_400_000, valuesMs: [8 * 86_400_000] },
  nowMs: Date.now,
  observe: () => undefined,
};

function isIn(ranges: readonly TimeRange[], atMs: number): boolean {
  return ranges.some((range) => holds(range, atMs));
}

/** Until the end of the transaction. */
async function lockPartitions(transaction: EntityManager): Promise<void> {
  await transaction.query('select pg_advisory_xact_lock($1)', [PARTITIONS_LOCK]);
}

/** Made beside the table and then attached: readers and writers of the table are not stopped. */
export async function createPartition(
  transaction: Pick<EntityManager, 'query'>,
  table: PartitionedName,
  { fromMs, toMs }: TimeRange,
): Promise<void> {
  const name = `"${table}_${fromMs}"`;
  await transaction.query(`create table ${name} (like ${table} including all)`);
  await transaction.query(
    `alter table ${table} attach partition ${name} for values from (${fromMs}) to (${toMs})`,
  );
}

async function partitionsOf(within: EntityManager, table: PartitionedName): Promise<Partition[]> {
  const rows = await within.query<{ name: string; bounds: string }[]>(
    `select relname as name, pg_get_expr(relpartbound, pg_class.oid) as bounds
     from pg_inherits join pg_class on pg_class.oid = inhrelid where inhparent = $1::regclass`,
    [table],
  );
  return rows
    .map(({ name, bounds }) => ({ name, ...rangeOf(bounds) }))
    .sort((one, other) => one.fromMs - other.fromMs);
}

/** As PostgreSQL writes it: `FOR VALUES FROM (MINVALUE) TO ('1764000000000')`. */
function rangeOf(bounds: string): TimeRange {
  const found = /FROM \((?:MINVALUE|'(-?\d+)')\) TO \('(-?\d+)'\)/.exec(bounds);
  if (found === null) throw new Error(`store: the bounds of a partition must be times, got ${bounds}`);
  const [, fromMs, toMs] = found;
  return { fromMs: fromMs === undefined ? -Infinity : Number(fromMs), toMs: Number(toMs) };
}

/** From one pool to the next in the index: the rows of a pool are many. */
export async function poolsIn(within: EntityManager, table: string): Promise<string[]> {
  const rows = await within.query<{ pool: string }[]>(
    `with recursive found as (
       (select pool from "${table}" order by pool limit 1)
       union all
       select (select pool from "${table}" where pool > found.pool order by pool limit 1)
       from found where found.pool is not null
     ) select pool from found where pool is not null`,
  );
  return rows.map(({ pool }) => pool);
}
