import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Whose piece of a pool's past comes in at the moment: one at a time, whichever process takes it. */
export class HistoryClaims1764500000000 implements MigrationInterface {
  name = 'HistoryClaims1764500000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table history_claims (
        pool text primary key,
        partition int not null,
        to_ms bigint not null,
        serial int not null,
        claimed_at timestamptz not null
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table history_claims');
  }
}
