import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Policies, and the projections of demand, forecasts and decisions. */
export class Pools1764000000001 implements MigrationInterface {
  name = 'Pools1764000000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table policies (
        pool text primary key,
        version int not null,
        updated_at_ms bigint not null,
        policy jsonb not null
      )`);
    await runner.query(`
      create table demand (
        pool text not null,
        start_ms bigint not null,
        arrivals double precision not null,
        bucket text not null,
        primary key (pool, start_ms)
      )`);
    await runner.query(`
      create table demand_chains (
        pool text not null,
        partition int not null,
        next_offset bigint not null,
        backlog int not null,
        in_flight int not null,
        primary key (pool, partition)
      )`);
    await runner.query(`
      create table forecasts (
        pool text not null,
        origin_ms bigint not null,
        forecast text not null,
        primary key (pool, origin_ms)
      )`);
    await runner.query(`
      create table decisions (
        id bigint generated always as identity primary key,
        pool text not null,
        kind text not null,
        first_at_ms bigint not null,
        last_at_ms bigint not null,
        count int not null,
        decision jsonb not null,
        memory jsonb not null,
        policy_version int not null
      )`);
    await runner.query('create index decisions_by_pool on decisions (pool, id desc)');
    await runner.query(`
      create table projection_offsets (
        projection text not null,
        topic text not null,
        partition int not null,
        next_offset bigint not null,
        primary key (projection, topic, partition)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of [
      'projection_offsets',
      'decisions',
      'forecasts',
      'demand_chains',
      'demand',
      'policies',
    ]) {
      await runner.query(`drop table ${table}`);
    }
  }
}
