import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How long the buckets of a pool are, and from when on: a pool without a row has buckets of one length. */
export class DemandSeries1764300000000 implements MigrationInterface {
  name = 'DemandSeries1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table demand_series (
        pool text primary key,
        bucket_s int not null,
        from_ms bigint not null
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table demand_series');
  }
}
