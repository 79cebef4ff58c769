import type { DataSource, EntityManager } from 'typeorm';
import type { Decision, DecisionMemory } from '#domain/scaling';
import { sameHold } from '#domain/scaling';
import { inStatements } from './bounded-statements.js';
import {
  KEEP_EIGHT_DAYS,
  PartitionedTable,
  type Partition,
  type PartitionOptions,
} from './partitions/partitioned-table.js';
import { Projection, type ProjectionStep } from './projection.js';
import { decisions, type DecisionRow } from './tables.js';

/** The message of `decisions.v1`: what was decided, and everything it remembered. */
export interface DecisionRecord {
  v: 1;
  decision: Decision;
  memory: DecisionMemory;
  policyVersion: number;
  /** Decisions that it tells of: itself, and the equal holds before it that have no record of their own; absent: 1. */
  count?: number;
}

/** Equal consecutive holds are one row: when it was first and last decided, and how often. */
export interface StoredDecision extends DecisionRecord {
  id: number;
  firstAtMs: number;
  lastAtMs: number;
  count: number;
}

/** Decisions by pool: the projection of `decisions.v1`. */
export class DecisionStore {
  private readonly projection: Projection;
  private readonly table: PartitionedTable;

  constructor(
    private readonly dataSource: DataSource,
    private readonly options: PartitionOptions = KEEP_EIGHT_DAYS,
  ) {
    this.table = new PartitionedTable(dataSource, 'decisions', options);
    this.projection = new Projection(dataSource, 'decisions', this.table);
  }

  startAt: Projection['startAt'] = (partitions) => this.projection.startAt(partitions);

  /** Throws ProjectionMoved. */
  async write({ made, step }: { made: DecisionRecord[]; step: ProjectionStep }): Promise<void> {
    const times = made.map(({ decision }) => decision.atMs);
    await this.projection.commit({ step, times }, async (transaction) => {
      const latest = await latestOf(transaction, [...new Set(made.map(({ decision }) => decision.pool))]);
      // In the order made, which is that of the ids.
      const changed = new Set<Row>();
      for (const record of made) {
        const previous = latest.get(record.decision.pool);
        const row = previous !== undefined && goesOn(previous, record) ? previous : rowOf(record);
        if (row === previous) grow(row, record);
        latest.set(record.decision.pool, row);
        changed.add(row);
      }
      await writeRows(transaction, [...changed]);
    });
  }

  /** Newest first; the cursor is the id of the last row of the page before. */
  async page(query: {
    pool: string;
    beforeId?: number | undefined;
    limit: number;
  }): Promise<StoredDecision[]> {
    const { pool, beforeId = Number.MAX_SAFE_INTEGER, limit } = query;
    const page = this.dataSource.getRepository(decisions).createQueryBuilder('d');
    page
      .where('d.pool = :pool and d.id < :beforeId', { pool, beforeId })
      .orderBy('d.id', 'DESC')
      .limit(limit);
    return (await page.getMany()).map(storedDecision);
  }

  /** The latest decision of each pool that has one. */
  async latestOf(pools: string[]): Promise<Map<string, StoredDecision>> {
    const rows = await latestOf(this.dataSource.manager, pools);
    return new Map(
      [...rows].map(([pool, { stored, ...row }]) => [
        pool,
        storedDecision({ ...row, id: stored?.id as number }),
      ]),
    );
  }

  /**
   * Drops what is not kept, and makes the partitions of what comes. A partition with the newest row of a pool that has a
   * policy stays, however old: it holds the pool's memory. Such a pool is decided all the time, so the next round finds
   * it in a younger one.
   */
  async retain(): Promise<void> {
    const { retention, nowMs } = this.options;
    const beforeMs = nowMs() - Math.max(...retention.valuesMs);
    await this.table.prepare();
    const old = (await this.table.partitions()).filter(({ toMs }) => toMs <= beforeMs);
    for (const partition of old) if (!(await this.holdsMemory(partition))) await this.table.drop(partition);
  }

  private async holdsMemory({ fromMs, toMs }: Partition): Promise<boolean> {
    const rows = await this.dataSource.query<unknown[]>(
      `select 1 from policies, lateral (
         select last_at_ms from decisions where decisions.pool = policies.pool order by id desc limit 1
       ) as newest where newest.last_at_ms >= $1 and newest.last_at_ms < $2 limit 1`,
      [Math.max(fromMs, Number.MIN_SAFE_INTEGER), toMs],
    );
    return rows.length > 0;
  }
}

/** A row, and where the table has what it grew from; a new one has no such place. */
type Row = Omit<DecisionRow, 'id'> & { stored?: Pick<DecisionRow, 'id' | 'lastAtMs'> };
type Grown = Required<Row>;

async function latestOf(transaction: EntityManager, pools: string[]): Promise<Map<string, Row>> {
  const rows = await transaction
    .getRepository(decisions)
    .createQueryBuilder('d')
    .where(
      `(d.id, d.last_at_ms) in (select id, last_at_ms from unnest(:pools::text[]) as own(pool), lateral (
         select id, last_at_ms from decisions where decisions.pool = own.pool order by id desc limit 1) as newest)`,
      { pools },
    )
    .getMany();
  return new Map(
    rows.map(({ id, ...row }) => [row.pool, { ...row, stored: { id, lastAtMs: row.lastAtMs } }]),
  );
}

/** It says what the row says: an equal hold that follows. */
function goesOn(row: Row, { decision, policyVersion }: DecisionRecord): boolean {
  return row.policyVersion === policyVersion && sameHold(row.decision, decision);
}

function grow(row: Row, { decision, memory, count = 1 }: DecisionRecord): void {
  Object.assign(row, { lastAtMs: decision.atMs, count: row.count + count, decision, memory });
}

async function writeRows(transaction: EntityManager, rows: Row[]): Promise<void> {
  const grown = rows.flatMap(({ stored, ...row }) => (stored === undefined ? [] : [{ ...row, stored }]));
  await inStatements(grown, (some) => updateGrown(transaction, some));
  const fresh = rows.filter(({ stored }) => stored === undefined);
  await inStatements(fresh, (some) => transaction.insert(decisions, some));
}

/** The bounds tell which partitions need not be looked at. */
async function updateGrown(transaction: EntityManager, rows: Grown[]): Promise<void> {
  const values = rows.map(({ stored, lastAtMs, count, decision, memory }) => {
    return { id: stored.id, was_at_ms: stored.lastAtMs, last_at_ms: lastAtMs, count, decision, memory };
  });
  const were = rows.map(({ stored }) => stored.lastAtMs);
  await transaction.query(
    `update decisions set last_at_ms = grown.last_at_ms, count = grown.count, decision = grown.decision,
       memory = grown.memory
     from json_to_recordset($1::json)
       as grown(id bigint, was_at_ms bigint, last_at_ms bigint, count int, decision jsonb, memory jsonb)
     where decisions.id = grown.id and decisions.last_at_ms = grown.was_at_ms
       and decisions.last_at_ms between $2 and $3`,
    [JSON.stringify(values), Math.min(...were), Math.max(...were)],
  );
}

function rowOf({ decision, memory, policyVersion, count = 1 }: DecisionRecord): Row {
  const { pool, kind, atMs } = decision;
  return { pool, kind, firstAtMs: atMs, lastAtMs: atMs, count, decision, memory, policyVersion };
}

function storedDecision(row: DecisionRow): StoredDecision {
  const { id, firstAtMs, lastAtMs, count, memory, policyVersion } = row;
  // The version before told no inputs.
  const decision = { ...row.decision, inputs: row.decision.inputs ?? {} };
  return { v: 1, id, firstAtMs, lastAtMs, count, decision, memory, policyVersion };
}
