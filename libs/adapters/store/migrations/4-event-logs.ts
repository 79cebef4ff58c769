import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The event log that the places of the tables are in: none while nobody has said it, as after the version before. */
export class EventLogs1764400000000 implements MigrationInterface {
  name = 'EventLogs1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create table event_logs (identity text primary key)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table event_logs');
  }
}
