import type { DataSource, EntityManager } from 'typeorm';
import type { Decision, DecisionMemory } from '#domain/scaling';
import { sameHold } from '#domain/scaling';
import { Projection, type ProjectionStep } from './projection.js';
import { decisions, type DecisionRow } from './tables.js';

/** The message of `decisions.v1`: what was decided, and everything it remembered. */
export interface DecisionRecord {
  v: 1;
  decision: Decision;
  memory: DecisionMemory;
  policyVersion: number;
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

  constructor(private readonly dataSource: DataSource) {
    this.projection = new Projection(dataSource, 'decisions');
  }

  startAt: Projection['startAt'] = (partitions) => this.projection.startAt(partitions);

  /** Throws ProjectionMoved. */
  async write({ made, step }: { made: DecisionRecord[]; step: ProjectionStep }): Promise<void> {
    await this.projection.commit(step, async (transaction) => {
      const latest = await latestOf(transaction, [...new Set(made.map(({ decision }) => decision.pool))]);
      // In the order made; a folded row takes the place of the one it grew from.
      const rows: Row[] = [];
      for (const record of made) {
        const previous = latest.get(record.decision.pool);
        const grown = previous === undefined ? undefined : folded(previous, record);
        const row = grown ?? rowOf(record);
        const place = grown === undefined ? -1 : rows.indexOf(previous as Row);
        if (place === -1) rows.push(row);
        else rows[place] = row;
        latest.set(record.decision.pool, row);
      }
      for (const { id, ...row } of rows) {
        if (id === undefined) await transaction.insert(decisions, row);
        else await transaction.update(decisions, { id }, row);
      }
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

  async byId(id: number): Promise<StoredDecision | undefined> {
    const row = await this.dataSource.getRepository(decisions).findOneBy({ id });
    return row === null ? undefined : storedDecision(row);
  }

  /** The latest decision of each pool that has one. */
  async latestOf(pools: string[]): Promise<Map<string, StoredDecision>> {
    const rows = await latestOf(this.dataSource.manager, pools);
    return new Map([...rows].map(([pool, row]) => [pool, storedDecision(row as DecisionRow)]));
  }

  /** Where the pool's decisions go on after a restart. */
  async latest(pool: string): Promise<StoredDecision | undefined> {
    return (await this.page({ pool, limit: 1 }))[0];
  }

  /** The pool's latest row stays, however old: it holds the memory. */
  async dropBefore({ pool, beforeMs }: { pool: string; beforeMs: number }): Promise<void> {
    await this.dataSource.query(
      `delete from decisions where pool = $1 and last_at_ms < $2
       and id < (select max(id) from decisions where pool = $1)`,
      [pool, beforeMs],
    );
  }
}

/** A row that is not in the table yet has no id. */
type Row = Omit<DecisionRow, 'id'> & { id?: number };

async function latestOf(transaction: EntityManager, pools: string[]): Promise<Map<string, Row>> {
  const rows = await transaction
    .getRepository(decisions)
    .createQueryBuilder('d')
    .where('d.id in (select max(id) from decisions where pool = any(:pools) group by pool)', { pools })
    .getMany();
  return new Map(rows.map((row) => [row.pool, row]));
}

function folded(previous: Row, record: DecisionRecord): Row | undefined {
  if (previous.policyVersion !== record.policyVersion) return undefined;
  if (!sameHold(previous.decision, record.decision)) return undefined;
  const { id, firstAtMs, count } = previous;
  const row = { ...rowOf(record), firstAtMs, count: count + 1 };
  return id === undefined ? row : { ...row, id };
}

function rowOf({ decision, memory, policyVersion }: DecisionRecord): Row {
  const { pool, kind, atMs } = decision;
  return { pool, kind, firstAtMs: atMs, lastAtMs: atMs, count: 1, decision, memory, policyVersion };
}

function storedDecision(row: DecisionRow): StoredDecision {
  const { id, firstAtMs, lastAtMs, count, decision, memory, policyVersion } = row;
  return { v: 1, id, firstAtMs, lastAtMs, count, decision, memory, policyVersion };
}
