import type { MigrationInterface, QueryRunner } from 'typeorm';
import { PARTITIONED, createPartition, type PartitionedName } from '../partitions/partitioned-table.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * Demand, forecasts and decisions are cut by time. What is there becomes the oldest partition where it lies: nothing is
 * copied. Names and columns stay, and there is a partition for all that the version before writes until tomorrow.
 */
export class Partitions1764200000000 implements MigrationInterface {
  name = 'Partitions1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    await this.keyDecisionsByTime(runner);
    for (const table of Object.keys(PARTITIONED) as PartitionedName[]) await this.cut(runner, table);
    // One for all partitions. Who inserts names no id, as before.
    await runner.query('alter sequence decision_ids owned by decisions.id');
  }

  async down(): Promise<void> {
    throw new Error('store: must go forward; the version before runs on these tables as they are');
  }

  /**
   * The key of a partitioned table contains what it is cut by, and an identity column belongs to one table only. The time
   * comes first: an index that begins with the id would tempt the planner to look for a pool's newest rows among
   * everybody's.
   */
  private async keyDecisionsByTime(runner: QueryRunner): Promise<void> {
    await runner.query('create sequence decision_ids');
    await runner.query(
      `select setval('decision_ids', (select coalesce(max(id), 0) + 1 from decisions), false)`,
    );
    await runner.query('alter table decisions alter column id drop identity');
    await runner.query(`alter table decisions alter column id set default nextval('decision_ids')`);
    await runner.query(
      'alter table decisions drop constraint decisions_pkey, add primary key (last_at_ms, id)',
    );
  }

  private async cut(runner: QueryRunner, table: PartitionedName): Promise<void> {
    const column = PARTITIONED[table];
    const before = `${table}_before`;
    const [{ last }] = (await runner.query(`select max(${column}) as last from ${table}`)) as [
      { last: number | string | null },
    ];
    await runner.query(`alter table ${table} rename to ${before}`);
    await runner.query(`alter table ${before} rename constraint ${table}_pkey to ${before}_pkey`);
    await runner.query(`create table ${table} (like ${before} including all) partition by range (${column})`);
    if (last === null) {
      await runner.query(`drop table ${before}`);
      return;
    }
    const todayMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;
    const endMs = Math.max(todayMs, (Math.floor(Number(last) / HOUR_MS) + 1) * HOUR_MS);
    await runner.query(
      `alter table ${table} attach partition ${before} for values from (minvalue) to (${endMs})`,
    );
    for (const toMs of [todayMs + DAY_MS, todayMs + 2 * DAY_MS]) {
      const fromMs = Math.max(toMs - DAY_MS, endMs);
      if (fromMs < toMs) await createPartition(runner, table, { fromMs, toMs });
    }
  }
}
