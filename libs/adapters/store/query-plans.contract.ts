import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Logger } from 'typeorm';
import { DecisionStore } from './decision-store.js';
import { DemandStore } from './demand-store.js';
import { ForecastStore } from './forecast-store.js';
import { KEEP_EIGHT_DAYS, PartitionedTable } from './partitions/partitioned-table.js';
import { PolicyStore } from './policy-store.js';
import { bucketAt, decided, forecastAt } from './store.contract.js';
import type { Store } from './store.js';

const DAY_MS = 86_400_000;
/** The last row of a day, so that the rows fill whole days. */
const NOW_MS = Date.UTC(2026, 10, 26, 23, 57);
const DAYS = 4;
const POOLS = 50;
const ROWS_PER_DAY = 480;
const STEP_MS = DAY_MS / ROWS_PER_DAY;

/** One access to a table, as the database has planned it. */
interface Scan {
  how: string;
  table: string;
  index: string | undefined;
}
interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  Plans?: PlanNode[];
}

function scansOf(node: PlanNode): Scan[] {
  const { 'Node Type': how, 'Relation Name': table, Plans = [] } = node;
  // A bitmap of rows is made from an index by the node below.
  const index = node['Index Name'] ?? Plans[0]?.['Index Name'];
  const own = table === undefined ? [] : [{ how, table, index }];
  return [...own, ...Plans.flatMap(scansOf)];
}

/**
 * How the queries of the API and of the services must find their rows, on an empty store of every engine. `upkeep` is
 * what tells the planner of them in the end.
 */
export function queryPlansContract(
  name: string,
  { open, upkeep }: { open: () => Promise<Store>; upkeep: string },
): void {
  describe(`query plans: ${name}`, () => {
    let store: Store;
    let asked: { sql: string; params: unknown }[];
    let demand: DemandStore;
    let forecasts: ForecastStore;
    let decisions: DecisionStore;
    let policies: PolicyStore;
    beforeAll(async () => {
      store = await open();
      const { dataSource } = store;
      [demand, forecasts, decisions, policies] = [
        new DemandStore(dataSource),
        new ForecastStore(dataSource),
        new DecisionStore(dataSource),
        new PolicyStore(dataSource),
      ];
      await fill();
      const quiet = () => undefined;
      const logger: Logger = {
        logQuery: (sql, params = []) => asked.push({ sql, params }),
        logQueryError: quiet,
        logQuerySlow: quiet,
        logSchemaBuild: quiet,
        logMigration: quiet,
        log: quiet,
      };
      dataSource.setOptions({ logger });
    }, 120_000);
    afterAll(() => store.close());

    /** Some days of many pools, one partition a day. */
    async function fill(): Promise<void> {
      const { dataSource } = store;
      const days = Array.from({ length: DAYS }, (_, i) => NOW_MS - i * DAY_MS);
      for (const table of ['demand', 'forecasts', 'decisions'] as const) {
        const options = { ...KEEP_EIGHT_DAYS, nowMs: () => NOW_MS };
        await new PartitionedTable(dataSource, table, options).cover(days);
      }
      const rows = `from generate_series(0, ${POOLS - 1}) as p, generate_series(0, ${DAYS * ROWS_PER_DAY - 1}) as i`;
      const at = `${NOW_MS} - ${STEP_MS}::bigint * i`;
      const named = `'pool-' || p`;
      await dataSource.query(`insert into policies select distinct ${named}, 1, 1, '{}'::jsonb ${rows}`);
      await dataSource.query(
        `insert into demand select ${named}, ${at}, 1, '${JSON.stringify(bucketAt(0, 1))}' ${rows}`,
      );
      await dataSource.query(
        `insert into forecasts select ${named}, ${at}, '${JSON.stringify(forecastAt(0, 1))}' ${rows}`,
      );
      const { decision, memory } = decided('scale', 0, 1);
      await dataSource.query(
        `insert into decisions (pool, kind, first_at_ms, last_at_ms, count, decision, memory, policy_version)
         select ${named}, 'scale', ${at}, ${at}, 1, '${JSON.stringify(decision)}', '${JSON.stringify(memory)}', 1
         ${rows} order by i desc, p`,
      );
      await dataSource.query('insert into demand_chains select pool, 0, 1, 0, 0 from policies');
      await dataSource.query(upkeep);
    }

    /** How the statements that `work` asks read the table; its other statements are of no interest. */
    async function scans(
      table: string,
      work: () => Promise<unknown>,
      kind = /^\s*(select|with)/i,
    ): Promise<Scan[]> {
      asked = [];
      await work();
      const reads = asked.filter(({ sql }) => kind.test(sql) && sql.includes(table));
      expect(reads.length).toBeGreaterThan(0);
      const found: Scan[] = [];
      for (const { sql, params } of reads) {
        const [row] = await store.dataSource.query<[{ 'QUERY PLAN': { Plan: PlanNode }[] }]>(
          `explain (format json) ${sql}`,
          params as unknown[],
        );
        found.push(...row['QUERY PLAN'].flatMap(({ Plan }) => scansOf(Plan)));
      }
      return found.filter((scan) => scan.table.startsWith(table));
    }

    /** Days of the partitions that were read, counted back from today. */
    const daysOf = (found: Scan[]) =>
      [
        ...new Set(found.map(({ table }) => Math.floor((NOW_MS - Number(table.split('_')[1])) / DAY_MS))),
      ].sort((one, other) => one - other);
    /** Scans that are not what they must be. */
    const notBy = (index: RegExp, found: Scan[]) =>
      found.filter(
        ({ how, index: used = '' }) =>
          !/^(Index|Index Only|Bitmap Heap) Scan$/.test(how) || !index.test(used),
      );
    const allDays = Array.from({ length: DAYS }, (_, i) => i);
    const pool = 'pool-7';

    test.each([
      ['demand', (before: number | undefined) => demand.page({ pool, beforeMs: before, limit: 50 })],
      ['forecasts', (before: number | undefined) => forecasts.page({ pool, beforeMs: before, limit: 50 })],
    ] as const)(
      'a page of %s comes from its key, and skips the days after the cursor',
      async (table, page) => {
        const first = await scans(table, () => page(undefined));
        expect(notBy(/_pkey$/, first)).toEqual([]);
        expect(daysOf(first)).toEqual(allDays);
        const later = await scans(table, () => page(NOW_MS - 2 * DAY_MS));
        expect(notBy(/_pkey$/, later)).toEqual([]);
        expect(daysOf(later)).toEqual([2, 3]);
      },
    );

    test('a page of decisions comes from the index of pool and id', async () => {
      const first = await decisions.page({ pool, limit: 50 });
      expect(first).toHaveLength(50);
      for (const beforeId of [undefined, first.at(-1)?.id]) {
        const found = await scans('decisions', () => decisions.page({ pool, beforeId, limit: 50 }));
        expect(notBy(/_pool_id_idx$/, found)).toEqual([]);
        expect(daysOf(found)).toEqual(allDays);
      }
    });

    test('policies come from their key', async () => {
      // So few that reading all of them is as good; what counts is that they are not sorted.
      expect(await scans('policies', () => policies.page({ after: 'pool-1', limit: 5 }))).toHaveLength(1);
      expect(await policies.page({ after: 'pool-1', limit: 2 })).toMatchObject([
        { pool: 'pool-10' },
        { pool: 'pool-11' },
      ]);
    });

    test('the buckets that a batch changes are found by their key, in the days they are of', async () => {
      const places = [0, 1, 2].map((i) => ({ pool: `pool-${i}`, startMs: NOW_MS - DAY_MS - i * STEP_MS }));
      const found = await scans('demand', () => demand.at(places));
      expect(notBy(/_pkey$/, found)).toEqual([]);
      expect(daysOf(found)).toEqual([1]);
    });

    test('history is read from the days it is of', async () => {
      const since = { pool, fromMs: NOW_MS - 1.2 * DAY_MS };
      const span = { ...since, toMs: NOW_MS + 1 };
      for (const read of [
        () => demand.arrivalsPage({ ...span, limit: 400 }),
        () => demand.fadedArrivals({ ...span, halfLifeMs: DAY_MS }),
      ]) {
        const found = await scans('demand', read);
        expect(notBy(/_pkey$/, found)).toEqual([]);
        expect(daysOf(found)).toEqual([0, 1]);
      }
    });

    test('where the demand of a pool begins is found by its key', async () => {
      const all = await scans('demand', () => demand.poolStanding({ pool, partition: 0 }));
      const found = all.filter(({ table }) => table !== 'demand_chains');
      expect(notBy(/_pkey$/, found)).toEqual([]);
      expect(daysOf(found)).toEqual(allDays);
    });

    test('a snapshot of many pools reads their newest buckets by key', async () => {
      const span = () => ({ fromMs: NOW_MS - DAY_MS / 3, toMs: NOW_MS + 1 });
      const found = await scans('demand', () => demand.snapshot({ pools: () => true, span }));
      expect(
        notBy(
          /_pkey$/,
          found.filter(({ table }) => table !== 'demand_chains'),
        ),
      ).toEqual([]);
    });

    test('the newest of every pool is found without reading the others', async () => {
      expect(notBy(/_pkey$/, await scans('forecasts', () => forecasts.latest()))).toEqual([]);
      expect(notBy(/_pkey$/, await scans('forecasts', () => forecasts.latestOrigins()))).toEqual([]);
      const before = { pool, beforeMs: NOW_MS };
      expect(notBy(/_pkey$/, await scans('demand', () => demand.lastBefore(before)))).toEqual([]);
      const record = decided('scale', NOW_MS + 1, 2, pool);
      const step = { topic: 'decisions.v1', partition: 0, from: 0, nextOffset: 1 };
      const found = await scans('decisions', () => decisions.write({ made: [record], step }));
      expect(notBy(/_(pool_id_idx|pkey)$/, found)).toEqual([]);
    });

    test('holds that go on are found by their key, in the days they are of', async () => {
      const pools = Array.from({ length: POOLS }, (_, i) => `pool-${i}`);
      const hold = (atMs: number) => pools.map((each) => decided('hold', atMs, 3, each));
      const at = { topic: 'decisions.v1', partition: 1 };
      await decisions.write({ made: hold(NOW_MS + 2), step: { ...at, from: 0, nextOffset: 1 } });
      const grow = () => decisions.write({ made: hold(NOW_MS + 3), step: { ...at, from: 1, nextOffset: 2 } });
      const found = await scans('decisions', grow, /^update decisions/i);
      const read = found.filter(({ how }) => how !== 'ModifyTable');
      expect(notBy(/_pkey$/, read)).toEqual([]);
      expect(daysOf(read)).toEqual([0]);
    });
  });
}
