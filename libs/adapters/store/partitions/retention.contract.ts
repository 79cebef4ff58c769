import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { policySchema } from '#domain/scaling';
import { DecisionStore } from '../decision-store.js';
import { ARRIVALS_PER_PAGE, DemandStore } from '../demand-store.js';
import { ForecastStore } from '../forecast-store.js';
import { PolicyStore } from '../policy-store.js';
import { bucketAt, decided, forecastAt } from '../store.contract.js';
import type { Store } from '../store.js';
import type { PartitionOptions } from './partitioned-table.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const START_MS = Date.UTC(2026, 10, 26, 12);

/** What retention must do on every engine, on tables that are empty. */
export function retentionContract(name: string, open: () => Promise<Store>): void {
  describe(`retention contract: ${name}`, () => {
    let store: Store;
    let nowMs: number;
    let outcomes: string[];
    let offsets: Record<string, number>;
    beforeAll(async () => {
      store = await open();
    }, 60_000);
    afterAll(() => store.close());
    beforeEach(async () => {
      nowMs = START_MS;
      outcomes = [];
      offsets = {};
      await store.dataSource.query(
        'truncate policies, demand, demand_chains, demand_series, history_claims, forecasts, decisions, projection_offsets',
      );
      for (const table of ['demand', 'forecasts', 'decisions'])
        for (const partition of await partitionsOf(table))
          await store.dataSource.query(`drop table "${partition}"`);
    });

    /** `fast` keeps two hours, every other pool eight. */
    const options = (): PartitionOptions => ({
      retention: {
        keptMs: (pool) => (pool === 'fast' ? 2 : 8) * HOUR_MS,
        valuesMs: [2 * HOUR_MS, 8 * HOUR_MS],
      },
      nowMs: () => nowMs,
      observe: ({ table, outcome }) => outcomes.push(`${table} ${outcome}`),
    });
    const signal = new AbortController().signal;
    const stepOf = (topic: string) => {
      const from = offsets[topic] ?? 0;
      offsets[topic] = from + 1;
      return { topic, partition: 0, from, nextOffset: from + 1 };
    };
    const writeDemand = (demand: DemandStore, pool: string, startsMs: number[]) =>
      demand.write({
        buckets: startsMs.map((startMs) => ({ pool, bucket: bucketAt(startMs, 1) })),
        chains: [],
        step: stepOf('demand.v1'),
      });
    const startsOf = async (demand: DemandStore, pool: string) =>
      (
        await demand.arrivalsPage({
          pool,
          bucketS: 1,
          fromMs: 0,
          toMs: nowMs + DAY_MS,
          limit: ARRIVALS_PER_PAGE,
        })
      ).map(({ startMs }) => (startMs - START_MS) / HOUR_MS);
    const partitionsOf = async (table: string) =>
      (
        await store.dataSource.query<{ name: string }[]>(
          'select inhrelid::regclass::text as name from pg_inherits where inhparent = $1::regclass order by 1',
          [table],
        )
      ).map(({ name: partition }) => partition.replaceAll('"', ''));
    const hoursAgo = (...hours: number[]) => hours.map((ago) => START_MS - ago * HOUR_MS);

    test('a partition goes when no pool keeps it; pools that keep less leave the others’ partitions', async () => {
      const demand = new DemandStore(store.dataSource, options());
      for (const pool of ['fast', 'slow', 'gone'])
        await writeDemand(demand, pool, hoursAgo(9, 8, 7, 3, 2, 1, 0));
      outcomes = [];
      await demand.retain(signal);
      expect(await startsOf(demand, 'slow')).toEqual([-8, -7, -3, -2, -1, 0]);
      expect(await startsOf(demand, 'gone')).toEqual([-8, -7, -3, -2, -1, 0]);
      expect(await startsOf(demand, 'fast')).toEqual([-2, -1, 0]);
      // Those of eight hours ago, and the one that comes.
      expect(outcomes).toEqual(['demand created', 'demand dropped']);
      // Nine hours later only what is kept is left of all of them, and the partitions of the present.
      nowMs += 9 * HOUR_MS + 1;
      await demand.retain(signal);
      for (const pool of ['fast', 'slow', 'gone']) expect(await startsOf(demand, pool)).toEqual([]);
      expect(await partitionsOf('demand')).toEqual(
        [START_MS + HOUR_MS, nowMs - 1, nowMs - 1 + HOUR_MS].map((fromMs) => `demand_${fromMs}`),
      );
    });

    test('what comes late, and history of years, has a partition, and goes with the next round', async () => {
      const demand = new DemandStore(store.dataSource, options());
      await writeDemand(demand, 'slow', hoursAgo(0));
      await demand.retain(signal);
      const years = Array.from({ length: 3 * 365 }, (_, day) => START_MS - (day + 1) * DAY_MS);
      await writeDemand(demand, 'slow', years);
      await writeDemand(demand, 'slow', hoursAgo(1, 5));
      expect((await startsOf(demand, 'slow')).length).toBe(years.length + 3);
      expect((await partitionsOf('demand')).length).toBeLessThan(100);
      await demand.retain(signal);
      expect(await startsOf(demand, 'slow')).toEqual([-5, -1, 0]);
    });

    test('more rows than one statement deletes, and a round that is told to stop', async () => {
      const demand = new DemandStore(store.dataSource, options());
      await writeDemand(demand, 'slow', hoursAgo(3));
      const many = Array.from({ length: 11_000 }, (_, i) => START_MS - 4 * HOUR_MS + i * 300);
      await writeDemand(demand, 'fast', many);
      const stopping = new AbortController();
      stopping.abort();
      await demand.retain(stopping.signal);
      expect((await startsOf(demand, 'fast')).length).toBe(many.length - 5_000);
      await demand.retain(signal);
      expect(await startsOf(demand, 'fast')).toEqual([]);
      expect(await startsOf(demand, 'slow')).toEqual([-3]);
    });

    test('a writer that does not know that a partition was dropped fails once and then goes on', async () => {
      const [demand, other] = [options(), options()].map((given) => new DemandStore(store.dataSource, given));
      await writeDemand(demand as DemandStore, 'slow', hoursAgo(9));
      await (other as DemandStore).retain(signal);
      const late = () => writeDemand(demand as DemandStore, 'slow', hoursAgo(9));
      await expect(late()).rejects.toThrow(/no partition/);
      offsets['demand.v1'] = (offsets['demand.v1'] as number) - 1;
      await late();
      expect(await startsOf(demand as DemandStore, 'slow')).toEqual([-9]);
    });

    test('a pool without a policy leaves nothing behind but how far its source partitions were counted', async () => {
      const demand = new DemandStore(store.dataSource, options());
      await new PolicyStore(store.dataSource).create({ pool: 'etl', policy: policySchema.parse({}), nowMs });
      const all = ['etl', 'slow', 'gone', 'over'];
      const chainOf = (pool: string, partition: number, nextOffset: number) => {
        return { pool, partition, nextOffset, backlog: 0, inFlight: 0 };
      };
      await demand.write({
        buckets: hoursAgo(7).map((startMs) => ({ pool: 'slow', bucket: bucketAt(startMs, 1) })),
        chains: [
          chainOf('etl', 0, 90),
          chainOf('slow', 0, 80),
          chainOf('gone', 0, 70),
          chainOf('gone', 1, 7),
          chainOf('over', 0, 60),
        ],
        series: all.map((pool) => ({ pool, bucketS: 1, fromMs: 0 })),
        step: stepOf('demand.v1'),
      });
      for (const pool of all) await demand.claimHistory({ pool, partition: 1, toMs: nowMs }, undefined);
      await demand.retain(signal);
      const kept = async () => {
        const chains = (await demand.standing()).chains.map(({ pool }) => pool).toSorted();
        expect((await demand.seriesOf(all)).map(({ pool }) => pool).toSorted()).toEqual(chains);
        const claims = await store.dataSource.query<{ pool: string }[]>('select pool from history_claims');
        expect(claims.map(({ pool }) => pool).toSorted()).toEqual(chains);
        return chains;
      };
      expect(await kept()).toEqual(['etl', 'slow']);
      expect((await demand.standing()).droppedTo).toEqual(
        new Map([
          [0, 70],
          [1, 7],
        ]),
      );
      nowMs += 9 * HOUR_MS;
      await demand.retain(signal);
      expect(await kept()).toEqual(['etl']);
      const { droppedTo, pools } = await demand.snapshot({
        pools: () => true,
        span: () => ({ bucketS: 1, fromMs: 0, toMs: nowMs }),
      });
      expect(droppedTo.get(0)).toBe(80);
      expect(pools.map(({ pool }) => pool)).toEqual(['etl']);
    });

    test('forecasts are kept as long as their pool keeps them', async () => {
      const forecasts = new ForecastStore(store.dataSource, options());
      const made = ['fast', 'slow', 'gone'].flatMap((pool) =>
        hoursAgo(9, 3, 0).map((originMs) => forecastAt(originMs, 1, pool)),
      );
      await forecasts.write({ made, step: stepOf('forecasts.v1') });
      await forecasts.retain(signal);
      const kept = async (pool: string) =>
        (await forecasts.page({ pool, limit: 9 })).map(({ originMs }) => (originMs - START_MS) / HOUR_MS);
      expect(await kept('fast')).toEqual([0]);
      expect(await kept('slow')).toEqual([0, -3]);
      expect((await forecasts.latest()).map(({ pool }) => pool)).toEqual(['fast', 'gone', 'slow']);
      // Nobody has a policy here: what nobody knows goes with its time as well.
      nowMs += 9 * HOUR_MS + 1;
      await forecasts.retain(signal);
      for (const pool of ['fast', 'slow', 'gone']) expect(await kept(pool)).toEqual([]);
    });

    test('decisions go with their time, those of a pool without a policy to the last', async () => {
      const decisions = new DecisionStore(store.dataSource, options());
      const policy = policySchema.parse({});
      await new PolicyStore(store.dataSource).create({ pool: 'etl', policy, nowMs });
      const at = (pool: string, kind: 'scale' | 'hold', hours: number) =>
        decided(kind, START_MS - hours * HOUR_MS, 3, pool);
      const made = ['etl', 'gone'].flatMap((pool) => [at(pool, 'scale', 10), at(pool, 'scale', 9)]);
      await decisions.write({ made, step: stepOf('decisions.v1') });
      await decisions.retain();
      const timesOf = async (pool: string) =>
        (await decisions.page({ pool, limit: 9 })).map(({ lastAtMs }) => (lastAtMs - START_MS) / HOUR_MS);
      // The newest of `etl` is its memory, although it is older than what is kept.
      expect(await timesOf('etl')).toEqual([-9]);
      expect((await decisions.latestOf(['etl'])).get('etl')?.memory).toEqual(at('etl', 'scale', 9).memory);
      await decisions.write({ made: [at('etl', 'scale', 0)], step: stepOf('decisions.v1') });
      await decisions.retain();
      expect(await timesOf('etl')).toEqual([0]);
      expect(await timesOf('gone')).toEqual([]);
    });

    test('a hold that goes on for hours is one row, and moves with its time', async () => {
      const decisions = new DecisionStore(store.dataSource, options());
      const hold = (hours: number) => decided('hold', START_MS - hours * HOUR_MS, 3);
      await decisions.write({ made: [hold(10), hold(9)], step: stepOf('decisions.v1') });
      const first = (await decisions.latestOf(['etl'])).get('etl');
      await decisions.write({ made: [hold(5)], step: stepOf('decisions.v1') });
      await decisions.write({ made: [hold(0)], step: stepOf('decisions.v1') });
      await decisions.retain();
      expect(await decisions.page({ pool: 'etl', limit: 9 })).toMatchObject([
        { id: first?.id, count: 4, firstAtMs: START_MS - 10 * HOUR_MS, lastAtMs: START_MS },
      ]);
    });
  });
}
