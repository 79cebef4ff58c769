import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { MIGRATIONS, migrate, newDataSource, type Connection } from '../data-source.js';
import { DecisionStore } from '../decision-store.js';
import { DemandStore } from '../demand-store.js';
import { bucketAt, decided, totalArrivals } from '../store.contract.js';
import { version1Queries } from './version-1-queries.js';

const HOUR_MS = 3_600_000;
/** The clock of the database is not asked: today is the machine's. */
const NOW_MS = Date.now();

export interface EmptyDatabase {
  connection: Connection;
  close(): Promise<void>;
}

/** What migrations must do on every engine. `make` gives a database without tables. */
export function migrationsContract(name: string, make: () => Promise<EmptyDatabase>): void {
  describe(`migrations contract: ${name}`, () => {
    let database: EmptyDatabase;
    let dataSource: DataSource;
    beforeEach(async () => {
      database = await make();
    }, 60_000);
    afterEach(async () => {
      await dataSource.destroy();
      await database.close();
    });
    const open = async () => (dataSource = await newDataSource(database.connection).initialize());
    const countOf = async (table: string) => {
      const [row] = await dataSource.query<[{ count: string | number }]>(`select count(*) from ${table}`);
      return Number(row.count);
    };
    const partitionsOf = async (table: string) =>
      (
        await dataSource.query<{ name: string }[]>(
          'select inhrelid::regclass::text as name from pg_inherits where inhparent = $1::regclass',
          [table],
        )
      ).map((row) => row.name);

    /** A database as version 1 has filled it: three rows of each table, an hour ago and before. */
    async function version1(): Promise<void> {
      const [first] = MIGRATIONS;
      const old = newDataSource({ ...database.connection, migrations: [first as (typeof MIGRATIONS)[0]] });
      await old.initialize();
      await old.runMigrations();
      for (const [i, hours] of [900, 30, 1].entries()) {
        const atMs = NOW_MS - hours * HOUR_MS;
        await old.query('insert into demand values ($1, $2, $3, $4)', [
          'etl',
          atMs,
          i + 1,
          JSON.stringify(bucketAt(atMs, i + 1)),
        ]);
        await old.query('insert into forecasts values ($1, $2, $3)', ['etl', atMs, '{}']);
        const { decision, memory } = decided('scale', atMs, i);
        await old.query(
          `insert into decisions (pool, kind, first_at_ms, last_at_ms, count, decision, memory, policy_version)
           values ('etl', 'scale', $1, $1, 1, $2, $3, 1)`,
          [atMs, JSON.stringify(decision), JSON.stringify(memory)],
        );
      }
      await old.destroy();
    }

    test('what version 1 has written stays where it is, and what comes has partitions of its own', async () => {
      await version1();
      await migrate(database.connection);
      await open();
      const demand = new DemandStore(dataSource);
      expect(await totalArrivals({ dataSource }, 'etl')).toBe(6);
      expect(await countOf('demand_before')).toBe(3);
      const step = { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 1 };
      const buckets = [NOW_MS, NOW_MS - 700 * HOUR_MS].map((startMs) => bucketAt(startMs, 10));
      await demand.write({
        buckets: buckets.map((bucket) => ({ pool: 'etl', bucket })),
        chains: [],
        step,
      });
      expect(await totalArrivals({ dataSource }, 'etl')).toBe(26);
      const decisions = new DecisionStore(dataSource);
      expect((await decisions.latestOf(['etl'])).get('etl')).toMatchObject({
        id: 3,
        lastAtMs: NOW_MS - HOUR_MS,
      });
      await decisions.write({ made: [decided('scale', NOW_MS, 9)], step });
      expect((await decisions.page({ pool: 'etl', limit: 9 })).map(({ id }) => id)).toEqual([4, 3, 2, 1]);
    });

    test('version 1 goes on on the tables of version 2', async () => {
      await version1();
      await migrate(database.connection);
      await open();
      const runner = dataSource.createQueryRunner();
      for (const { sql, params, rows } of version1Queries(NOW_MS)) {
        const { affected } = await runner.query(sql, params, true);
        expect({ sql, affected }).toEqual({ sql, affected: rows });
      }
      await runner.release();
      expect([await countOf('demand'), await countOf('forecasts'), await countOf('decisions')]).toEqual([
        1, 1, 2,
      ]);
    });

    test('new tables have no past', async () => {
      await migrate(database.connection);
      await open();
      for (const table of ['demand', 'forecasts', 'decisions']) expect(await partitionsOf(table)).toEqual([]);
    });

    test('of many that start at once, one migrates', async () => {
      await version1();
      await Promise.all(Array.from({ length: 6 }, () => migrate(database.connection)));
      await open();
      expect(await countOf('migrations')).toBe(MIGRATIONS.length);
      expect(await totalArrivals({ dataSource }, 'etl')).toBe(6);
    });

    test('a migration that fails leaves nothing behind, and the next start tries again', async () => {
      await version1();
      await open();
      await dataSource.query('create table demand_before (x int)');
      await expect(migrate(database.connection)).rejects.toThrow('already exists');
      expect(await countOf('migrations')).toBe(1);
      await dataSource.query('drop table demand_before');
      await migrate(database.connection);
      expect(await countOf('migrations')).toBe(MIGRATIONS.length);
    });
  });
}
