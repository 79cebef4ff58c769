import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Bucket } from '#domain/demand';
import type { Forecast } from '#domain/forecasting';
import { policySchema, type Decision } from '#domain/scaling';
import type { Logger } from 'typeorm';
import { ROWS_PER_STATEMENT } from './bounded-statements.js';
import { DecisionStore, type DecisionRecord } from './decision-store.js';
import { DemandStore } from './demand-store.js';
import { ForecastStore } from './forecast-store.js';
import { PolicyStore } from './policy-store.js';
import { ProjectionMoved } from './projection.js';
import type { Store } from './store.js';

/** What the store must do on every engine. `open` gives the same data again after `close`. */
export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(`store contract: ${name}`, () => {
    let store: Store;
    beforeAll(async () => {
      store = await open();
    }, 60_000);
    afterAll(() => store.close());
    const reopen = async () => {
      await store.close();
      store = await open();
    };

    test('a policy changes only from the version that was seen', async () => {
      const policies = new PolicyStore(store.dataSource);
      const policy = policySchema.parse({});
      const first = await policies.create({ pool: 'etl', policy, nowMs: 1 });
      expect(first).toEqual({ pool: 'etl', policy, version: 1, updatedAtMs: 1 });
      expect(await policies.create({ pool: 'etl', policy, nowMs: 2 })).toBe('conflict');
      const reactive = { ...policy, mode: 'reactive' as const };
      expect(
        await policies.update({
          pool: 'etl',
          policy: reactive,
          seen: { version: 2, updatedAtMs: 1 },
          nowMs: 3,
        }),
      ).toBe('conflict');
      expect(
        await policies.update({
          pool: 'etl',
          policy: reactive,
          seen: { version: 1, updatedAtMs: 1 },
          nowMs: 3,
        }),
      ).toMatchObject({
        version: 2,
      });
      await reopen();
      const kept = await new PolicyStore(store.dataSource).get('etl');
      expect(kept).toEqual({ pool: 'etl', policy: reactive, version: 2, updatedAtMs: 3 });
    });

    test('of two writers that saw the same version, one wins', async () => {
      const policies = new PolicyStore(store.dataSource);
      const policy = policySchema.parse({});
      await policies.create({ pool: 'race', policy, nowMs: 1 });
      const outcomes = await Promise.all(
        [5, 6].map((nowMs) =>
          policies.update({ pool: 'race', policy, seen: { version: 1, updatedAtMs: 1 }, nowMs }),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === 'conflict')).toHaveLength(1);
    });

    test('of creators that would share the last places, so many get one as there are', async () => {
      const policies = new PolicyStore(store.dataSource);
      const policy = policySchema.parse({});
      const taken = (await policies.page({ limit: 100 })).length;
      const create = (pool: string) => policies.create({ pool, policy, nowMs: 1, maxPolicies: taken + 2 });
      const outcomes = await Promise.all(['b1', 'b2', 'b3', 'b4', 'b5'].map(create));
      expect(outcomes.filter((outcome) => outcome === 'full')).toHaveLength(3);
      const [kept] = (await policies.page({ limit: 100 })).filter(({ pool }) => /^b\d$/.test(pool));
      expect(await create(kept?.pool as string)).toBe('conflict');
      expect(await policies.create({ pool: 'b6', policy, nowMs: 1 })).toMatchObject({ pool: 'b6' });
    });

    test('the policies of many pools are made at once: those that are missing, as far as there are places', async () => {
      const policies = new PolicyStore(store.dataSource);
      const policy = policySchema.parse({});
      const rows = (...pools: string[]) => pools.map((pool) => ({ pool, policy, nowMs: 7 }));
      const before = (await policies.pools()).length;
      expect(await policies.createAll(rows('m2', 'm1'))).toEqual({ created: ['m1', 'm2'], full: [] });
      const maxPolicies = before + 4;
      const some = await policies.createAll(rows('m5', 'm3', 'm1', 'm4', 'm6'), { maxPolicies });
      expect(some).toEqual({ created: ['m3', 'm4'], full: ['m5', 'm6'] });
      expect(await policies.get('m4')).toEqual({ pool: 'm4', policy, version: 1, updatedAtMs: 7 });
      const many = Array.from({ length: 2 * ROWS_PER_STATEMENT + 1 }, (_, i) => `many-${i}`);
      // Two processes that meet the same pools in different orders.
      const [one, other] = await Promise.all(
        [many, many.toReversed()].map((pools) => policies.createAll(rows(...pools))),
      );
      expect([...one!.created, ...other!.created].toSorted()).toEqual(many.toSorted());
      expect(await policies.createAll([])).toEqual({ created: [], full: [] });
      expect((await policies.pools()).length).toBe(before + 4 + many.length);
      await store.dataSource.query(`delete from policies where pool like 'many-%'`);
    });

    test('the digest of the policies changes with each of them, and with nothing else', async () => {
      const policies = new PolicyStore(store.dataSource);
      const policy = policySchema.parse({});
      const seen = [await policies.digest()];
      const change = async (work: Promise<unknown>) => {
        await work;
        seen.push(await policies.digest());
      };
      const first = { version: 1, updatedAtMs: 1 };
      await change(policies.create({ pool: 'd', policy, nowMs: 1 }));
      await change(policies.update({ pool: 'd', policy, seen: first, nowMs: 1 }));
      await change(policies.delete({ pool: 'd', seen: { version: 2, updatedAtMs: 1 } }));
      await change(policies.create({ pool: 'd', policy, nowMs: 2 }));
      expect(new Set(seen).size).toBe(4);
      expect(seen[3]).toBe(seen[0]);
      await policies.delete({ pool: 'd', seen: { version: 1, updatedAtMs: 2 } });
      expect(await policies.digest()).toBe(seen[0]);
    });

    test('policies are listed in pages and deleted by version', async () => {
      const policies = new PolicyStore(store.dataSource);
      const policy = policySchema.parse({});
      for (const pool of ['p3', 'p1', 'p2']) await policies.create({ pool, policy, nowMs: 1 });
      const page = await policies.page({ after: 'p', limit: 2 });
      expect(page.map(({ pool }) => pool)).toEqual(['p1', 'p2']);
      expect((await policies.page({ after: 'p2', limit: 2 })).map(({ pool }) => pool)).toContain('p3');
      expect(await policies.delete({ pool: 'p1', seen: { version: 1, updatedAtMs: 9 } })).toBe('conflict');
      expect(await policies.delete({ pool: 'p1', seen: { version: 1, updatedAtMs: 1 } })).toBe('deleted');
      expect(await policies.get('p1')).toBeNull();
    });

    test('demand, what it includes and the offset of its topic change together', async () => {
      const demand = new DemandStore(store.dataSource);
      const step = { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 7 };
      const buckets = [10_000, 11_000, 12_000].map((startMs) => ({
        pool: 'etl',
        bucket: bucketAt(startMs, 5),
      }));
      const chain = { pool: 'etl', partition: 2, nextOffset: 40, backlog: 6, inFlight: 2 };
      await demand.write({ buckets, chains: [chain], step });
      const revised = [{ pool: 'etl', bucket: bucketAt(11_000, 8) }];
      await demand.write({ buckets: revised, chains: [], step: { ...step, from: 7, nextOffset: 8 } });
      await reopen();
      const again = new DemandStore(store.dataSource);
      const offsets = [{ projection: 'demand', topic: 'demand.v1', partition: 0, nextOffset: 8 }];
      expect(await again.standing()).toEqual({ chains: [chain], droppedTo: new Map(), offsets });
      expect(await totalArrivals(store, 'etl')).toBe(18);
      const snapshot = await again.snapshot({
        pools: (pool) => pool === 'etl',
        span: () => ({ bucketS: 1, fromMs: 12_000, toMs: 13_000 }),
      });
      expect(snapshot).toEqual({
        offsets,
        droppedTo: new Map(),
        pools: [{ pool: 'etl', chains: [chain], fromMs: 0, buckets: [bucketAt(12_000, 5)] }],
      });
      expect(
        (await again.snapshot({ pools: () => false, span: () => ({ bucketS: 1, fromMs: 0, toMs: 1 }) }))
          .pools,
      ).toEqual([]);
      const held = await again.at([
        { pool: 'etl', startMs: 11_000 },
        { pool: 'etl', startMs: 11_500 },
        { pool: 'web', startMs: 12_000 },
      ]);
      expect(held).toEqual([{ pool: 'etl', bucket: bucketAt(11_000, 8) }]);
      expect(await again.at([])).toEqual([]);
    });

    test('a snapshot that is taken while others write: each pool is of one moment, not before that of the offsets', async () => {
      const demand = new DemandStore(store.dataSource);
      const pools = Array.from({ length: 200 }, (_, i) => `while-${i}`);
      const step = { topic: 'demand.v1', partition: 6 };
      /** As many arrivals as offsets are included. */
      const writeAll = (count: number) =>
        demand.write({
          buckets: pools.map((pool) => ({ pool, bucket: bucketAt(10_000, count) })),
          chains: pools.map((pool) => ({ pool, partition: 6, nextOffset: count, backlog: 0, inFlight: 0 })),
          step: { ...step, from: count - 1, nextOffset: count },
        });
      await writeAll(1);
      const writing = (async () => {
        for (let count = 2; count <= 6; count++) await writeAll(count);
      })();
      const { pools: found, offsets } = await demand.snapshot({
        pools: (pool) => pool.startsWith('while-'),
        span: () => ({ bucketS: 1, fromMs: 10_000, toMs: 10_001 }),
      });
      await writing;
      expect(found).toHaveLength(pools.length);
      const begun = offsets.find(({ partition }) => partition === 6)?.nextOffset as number;
      for (const { chains, buckets } of found) {
        expect(chains[0]?.nextOffset).toBe(buckets[0]?.arrivals);
        expect(chains[0]?.nextOffset).toBeGreaterThanOrEqual(begun);
      }
      await store.dataSource.query(`delete from demand_chains where pool like 'while-%'`);
    });

    test('a snapshot spans many pools, each within its own bounds; only the newest sketches are in it', async () => {
      const demand = new DemandStore(store.dataSource);
      const names = Array.from({ length: 230 }, (_, i) => `many-${i}`);
      const sketched = { ...bucketAt(0, 1), retries: 3, serviceMs: manyBins(700) };
      const starts = Array.from({ length: 12 }, (_, i) => i * 1000);
      const buckets = names.flatMap((pool, i) =>
        (i === 7 ? starts : [5000]).map((startMs) => ({ pool, bucket: { ...sketched, startMs } })),
      );
      const chains = names.map((pool) => ({ pool, partition: 0, nextOffset: 1, backlog: 0, inFlight: 0 }));
      await demand.write({
        buckets,
        chains,
        step: { topic: 'demand.v1', partition: 2, from: 0, nextOffset: 1 },
      });
      const spanOf = (pool: string) => ({
        bucketS: 1,
        fromMs: pool === 'many-7' ? 1000 : 6000,
        toMs: 11_000,
      });
      const { pools } = await demand.snapshot({ pools: (pool) => pool !== 'etl', span: spanOf });
      expect(pools.map(({ pool }) => pool).sort()).toEqual(Array.from(names).sort());
      expect(pools.filter((pool) => pool.buckets.length > 0).map(({ pool }) => pool)).toEqual(['many-7']);
      const held = pools.find(({ pool }) => pool === 'many-7')?.buckets ?? [];
      expect(held.map(({ startMs }) => startMs)).toEqual(starts.slice(1, 11));
      expect(held.every(({ arrivals, retries }) => arrivals === 1 && retries === 3)).toBe(true);
      expect(held.at(-1)).toEqual({ ...sketched, startMs: 10_000 });
      const counts = held.map(({ serviceMs }) => serviceMs.count);
      expect(counts).toEqual([0, 0, 0, 700, 700, 700, 700, 700, 700, 700]); // 1.7 kB each
    });

    test('a transaction that fails leaves neither rows nor offset', async () => {
      const demand = new DemandStore(store.dataSource);
      const before = { total: await totalArrivals(store, 'etl'), ...(await demand.standing()) };
      const notANumber = { ...bucketAt(13_000, 1), startMs: Number.NaN };
      const write = demand.write({
        buckets: [
          { pool: 'etl', bucket: bucketAt(14_000, 9) },
          { pool: 'etl', bucket: notANumber },
        ],
        chains: [],
        step: { topic: 'demand.v1', partition: 0, from: 8, nextOffset: 99 },
      });
      await expect(write).rejects.toThrow(/bigint/);
      expect({ total: await totalArrivals(store, 'etl'), ...(await demand.standing()) }).toEqual(before);
    });

    test('a write that begins where the projection does not stand changes nothing', async () => {
      const demand = new DemandStore(store.dataSource);
      const write = (arrivals: number, given: { from: number; nextOffset: number; partition?: number }) =>
        demand.write({
          buckets: [{ pool: 'moved', bucket: bucketAt(1000, arrivals) }],
          chains: [],
          step: { topic: 'demand.v1', partition: 1, ...given },
        });
      await expect(write(1, { from: 3, nextOffset: 4 })).rejects.toThrow(ProjectionMoved);
      // Both read the store before either wrote: whichever comes second must not add the same records again.
      const [first, second] = await Promise.allSettled([
        write(2, { from: 0, nextOffset: 5 }),
        write(4, { from: 0, nextOffset: 5 }),
      ]);
      expect([first.status, second.status]).toEqual(['fulfilled', 'rejected']);
      await expect(write(8, { from: 4, nextOffset: 6 })).rejects.toThrow(
        'projection demand of demand.v1[1]: must stand at 4, does not',
      );
      expect(await totalArrivals(store, 'moved')).toBe(2);
      await write(16, { from: 5, nextOffset: 6 });
      expect(await totalArrivals(store, 'moved')).toBe(16);
      const forecasts = new ForecastStore(store.dataSource);
      const decisions = new DecisionStore(store.dataSource);
      const step = { topic: 'other', partition: 0, from: 0, nextOffset: 2 };
      await forecasts.write({ made: [], step });
      await decisions.write({ made: [], step });
      await expect(forecasts.write({ made: [], step })).rejects.toThrow(ProjectionMoved);
      await expect(decisions.write({ made: [], step })).rejects.toThrow(ProjectionMoved);
      expect(await decisions.startAt([{ topic: 'other', partition: 0 }])).toMatchObject([{ offset: 2 }]);
    });

    test('demand is paged newest first', async () => {
      const demand = new DemandStore(store.dataSource);
      const newest = await demand.page({ pool: 'etl', bucketS: 1, limit: 2 });
      expect(newest.map(({ startMs }) => startMs)).toEqual([12_000, 11_000]);
      const rest = await demand.page({ pool: 'etl', bucketS: 1, beforeMs: 11_000, limit: 2 });
      expect(rest.map(({ startMs }) => startMs)).toEqual([10_000]);
    });

    test('arrivals are read in pages, oldest first, or summed with their age', async () => {
      const demand = new DemandStore(store.dataSource);
      const span = { pool: 'etl', bucketS: 1, fromMs: 10_000, toMs: 12_001 };
      const first = await demand.arrivalsPage({ ...span, limit: 2 });
      expect(first).toEqual([
        { startMs: 10_000, arrivals: 5 },
        { startMs: 11_000, arrivals: 8 },
      ]);
      expect(await demand.arrivalsPage({ ...span, fromMs: 11_001, limit: 2 })).toEqual([
        { startMs: 12_000, arrivals: 5 },
      ]);
      expect(await demand.arrivalsPage({ ...span, toMs: 12_000, limit: 9 })).toEqual(first);
      expect(await demand.arrivalsPage({ ...span, pool: 'none', limit: 9 })).toEqual([]);
      expect(await demand.lastBefore({ pool: 'etl', beforeMs: 12_000 })).toBe(11_000);
      expect(await demand.lastBefore({ pool: 'etl', beforeMs: 10_000 })).toBeUndefined();
      const faded = await demand.faded({ ...span, toMs: 12_000, halfLifeMs: 2_000 });
      expect(faded.arrivals).toBeCloseTo(5 * 0.5 + 8 * 0.5 ** 0.5, 9);
      expect(faded.buckets).toBeCloseTo(0.5 + 0.5 ** 0.5, 9);
      expect(await demand.faded({ ...span, pool: 'none', halfLifeMs: 2_000 })).toEqual({
        arrivals: 0,
        buckets: 0,
      });
    });

    test('what is included of a pool, and where its demand begins', async () => {
      const demand = new DemandStore(store.dataSource);
      expect(await demand.chainsOf('etl')).toContainEqual({
        pool: 'etl',
        partition: 2,
        nextOffset: 40,
        backlog: 6,
        inFlight: 2,
      });
      expect(await demand.chainsOf('nobody')).toEqual([]);
      expect(await demand.poolStanding({ pool: 'etl', bucketS: 1, partition: 9 })).toEqual({
        chains: await demand.chainsOf('etl'),
        fromMs: 0,
        firstMs: 10_000,
      });
      const [partition, offset] = [2 ** 30, { topic: 'demand.v1', partition: 5 }];
      for (const [i, firstMs] of [11_000, 12_000, undefined].entries()) {
        const chain = { pool: 'etl', partition, nextOffset: 10_001 + i * 1000, backlog: 0, inFlight: 0 };
        await demand.write({ buckets: [], chains: [chain], step: { ...offset, from: i, nextOffset: i + 1 } });
        const of = { pool: 'etl', bucketS: 1, partition };
        const { chains, firstMs: found } = await demand.poolStanding(of);
        expect(chains).toContainEqual(chain);
        expect(found).toBe(firstMs);
      }
    });

    test('of those who claim the past of a pool at once one gets it, and the next must have seen that', async () => {
      const demand = new DemandStore(store.dataSource);
      const claimed = async () => {
        const { claim } = await demand.poolStanding({ pool: 'claimed', bucketS: 1, partition: 7 });
        return claim;
      };
      expect(await claimed()).toBeUndefined();
      const claims = await Promise.all(
        [7, 8, 9].map((partition) =>
          demand.claimHistory({ pool: 'claimed', partition, toMs: 5_000 + partition }, undefined),
        ),
      );
      expect(claims.toSorted()).toEqual([false, false, true]);
      const first = await claimed();
      const partition = 7 + claims.indexOf(true);
      expect(first).toMatchObject({ partition, toMs: 5_000 + partition, serial: 1 });
      expect(first?.ageS).toBeGreaterThanOrEqual(0);
      expect(first?.ageS).toBeLessThan(60);
      const next = { pool: 'claimed', partition: 10, toMs: 6_000 };
      expect(await demand.claimHistory(next, undefined)).toBe(false);
      expect(await demand.claimHistory(next, first)).toBe(true);
      expect(await demand.claimHistory(next, first)).toBe(false);
      expect(await claimed()).toMatchObject({ partition: 10, toMs: 6_000, serial: 2 });
    });

    test('of a pool whose buckets have got another length, who asks for one length gets no other', async () => {
      const demand = () => new DemandStore(store.dataSource);
      const pool = 'relengthened';
      const span = { fromMs: 0, toMs: 60_000 };
      const startsOf = async (bucketS: number) => {
        const of = { pool, bucketS };
        const starts = (await demand().arrivalsPage({ ...of, ...span, limit: 9 })).map(
          ({ startMs }) => startMs,
        );
        const page = await demand().page({ ...of, limit: 9 });
        expect(page.map(({ startMs }) => startMs)).toEqual(starts.toReversed());
        const { pools } = await demand().snapshot({
          pools: (each) => each === pool,
          span: () => ({ bucketS, ...span }),
        });
        expect(pools[0]?.buckets.map(({ startMs }) => startMs)).toEqual(starts);
        expect(await demand().firstFrom({ ...of, fromMs: 0 })).toBe(starts[0]);
        // Of one arrival each, and as good as not fading.
        const faded = await demand().faded({ ...of, ...span, halfLifeMs: 1e12 });
        expect(faded.buckets).toBeCloseTo(starts.length, 3);
        const standing = await demand().poolStanding({ ...of, partition: 9 });
        expect([standing.firstMs, standing.fromMs]).toEqual([starts[0], pools[0]?.fromMs]);
        return starts;
      };
      const write = (starts: number[], series: { bucketS: number; fromMs: number }[], from: number) =>
        demand().write({
          buckets: starts.map((startMs) => ({ pool, bucket: bucketAt(startMs, 1) })),
          chains: [{ pool, partition: 0, nextOffset: 1, backlog: 0, inFlight: 0 }],
          series: series.map((row) => ({ pool, ...row })),
          step: { topic: 'demand.v1', partition: 3, from, nextOffset: from + 1 },
        });
      await write([1_000, 2_000], [], 0);
      // Nobody has said how long they are.
      expect(await startsOf(1)).toEqual([1_000, 2_000]);
      expect(await startsOf(10)).toEqual([1_000, 2_000]);
      await write([3_000], [{ bucketS: 1, fromMs: 0 }], 1);
      expect(await startsOf(1)).toEqual([1_000, 2_000, 3_000]);
      expect(await startsOf(10)).toEqual([]);
      await write([10_000, 20_000], [{ bucketS: 10, fromMs: 20_000 }], 2);
      await reopen();
      expect(await startsOf(1)).toEqual([]);
      expect(await startsOf(10)).toEqual([20_000]);
      expect(await demand().seriesOf([pool, 'none'])).toEqual([{ pool, bucketS: 10, fromMs: 20_000 }]);
      // When something was counted last, in whatever length.
      expect(await demand().lastBefore({ pool, beforeMs: 20_000 })).toBe(10_000);
    });

    test('a forecast that is made again replaces the first one', async () => {
      const forecasts = new ForecastStore(store.dataSource);
      const at = { topic: 'forecasts.v1', partition: 0 };
      await forecasts.write({
        made: [forecastAt(1000, 4), forecastAt(2000, 5), forecastAt(2000, 6)],
        step: { ...at, from: 0, nextOffset: 3 },
      });
      await forecasts.write({ made: [forecastAt(2000, 7)], step: { ...at, from: 3, nextOffset: 4 } });
      await forecasts.write({ made: [], step: { ...at, from: 4, nextOffset: 5 } });
      expect(await forecasts.page({ pool: 'etl', limit: 5 })).toEqual([
        forecastAt(2000, 7),
        forecastAt(1000, 4),
      ]);
      expect(await forecasts.page({ pool: 'etl', beforeMs: 2000, limit: 5 })).toEqual([forecastAt(1000, 4)]);
      expect(await forecasts.latest()).toEqual([forecastAt(2000, 7)]);
      expect(await forecasts.latestOrigins()).toEqual(new Map([['etl', 2000]]));
      expect(await forecasts.startAt([at])).toEqual([{ ...at, offset: 5 }]);
    });

    test('equal consecutive holds are one record with first, last and count, also across writes', async () => {
      const decisions = new DecisionStore(store.dataSource);
      const at = { topic: 'decisions.v1', partition: 0 };
      const made = [
        decided('scale', 1000, 3),
        decided('hold', 2000, 3),
        decided('hold', 2000, 1, 'other'),
        decided('hold', 3000, 3),
      ];
      await decisions.write({ made, step: { ...at, from: 0, nextOffset: 4 } });
      // A record may tell of several that had none of their own.
      const more = [{ ...decided('hold', 4000, 3), count: 5 }, decided('scale', 5000, 4)];
      await decisions.write({ made: more, step: { ...at, from: 4, nextOffset: 6 } });
      await reopen();
      const again = new DecisionStore(store.dataSource);
      const page = await again.page({ pool: 'etl', limit: 10 });
      expect(
        page.map(({ firstAtMs, lastAtMs, count, decision }) => [decision.kind, firstAtMs, lastAtMs, count]),
      ).toEqual([
        ['scale', 5000, 5000, 1],
        ['hold', 2000, 4000, 7],
        ['scale', 1000, 1000, 1],
      ]);
      expect(page[0]?.memory).toEqual(decided('scale', 5000, 4).memory);
      const latest = await again.latestOf(['other', 'etl', 'none']);
      expect([...latest.keys()].toSorted()).toEqual(['etl', 'other']);
      expect(latest.get('etl')).toEqual(page[0]);
      expect(await again.latestOf([])).toEqual(new Map());
      const older = await again.page({ pool: 'etl', beforeId: page[0]?.id, limit: 1 });
      expect(older).toEqual([page[1]]);
      expect(await again.startAt([at])).toEqual([{ ...at, offset: 6 }]);
    });

    test('a decision of the version before, which told no inputs, has none', async () => {
      const decisions = new DecisionStore(store.dataSource);
      const record = decided('hold', 1000, 3);
      const { inputs: _, ...decision } = record.decision;
      const made = [{ ...record, decision: decision as Decision }];
      await decisions.write({ made, step: { topic: 't', partition: 0, from: 0, nextOffset: 1 } });
      expect((await decisions.latestOf(['etl'])).get('etl')?.decision.inputs).toEqual({});
    });

    test('the decisions of many pools are few statements, those that are new and those that go on', async () => {
      const decisions = new DecisionStore(store.dataSource);
      const pools = Array.from({ length: 2 * ROWS_PER_STATEMENT + 1 }, (_, i) => `batch-${i}`);
      const holds = (atMs: number) => pools.map((pool) => decided('hold', atMs, 3, pool));
      const write = (made: DecisionRecord[], from: number) => {
        const step = { topic: 'decisions.v1', partition: 1, from, nextOffset: from + 1 };
        return statementsOf(store, () => decisions.write({ made, step }));
      };
      expect(await write(holds(1000), 0)).toEqual({ inserts: 3, updates: 0 });
      const [first, second] = pools as [string, string];
      const after = [decided('scale', 2500, 4, second), decided('hold', 3000, 3, first)];
      expect(await write([...holds(2000), ...after], 1)).toEqual({ inserts: 1, updates: 3 });
      const latest = await decisions.latestOf(pools);
      expect(latest.size).toBe(pools.length);
      for (const pool of pools.slice(2))
        expect(latest.get(pool)).toMatchObject({
          ...decided('hold', 2000, 3, pool),
          count: 2,
          firstAtMs: 1000,
        });
      expect(latest.get(first)).toMatchObject({ count: 3, firstAtMs: 1000, lastAtMs: 3000 });
      const page = await decisions.page({ pool: second, limit: 10 });
      expect(page.map(({ decision, lastAtMs, count }) => [decision.kind, lastAtMs, count])).toEqual([
        ['scale', 2500, 1],
        ['hold', 2000, 2],
      ]);
    });
  });
}

/** How many statements that `work` sends write decisions. */
async function statementsOf({ dataSource }: Store, work: () => Promise<unknown>) {
  const sent: string[] = [];
  const before = dataSource.logger;
  const quiet = () => undefined;
  const logger: Logger = {
    logQuery: (sql) => sent.push(sql),
    logQueryError: quiet,
    logQuerySlow: quiet,
    logSchemaBuild: quiet,
    logMigration: quiet,
    log: quiet,
  };
  dataSource.setOptions({ logger });
  await work();
  dataSource.setOptions({ logger: before });
  const count = (start: RegExp) => sent.filter((sql) => start.test(sql)).length;
  return { inserts: count(/^insert into "?decisions/i), updates: count(/^update "?decisions/i) };
}

function manyBins(length: number): Bucket['serviceMs'] {
  return { count: length, sum: 1, zeros: 0, offset: 0, bins: Array<number>(length).fill(1) };
}

/** Everything that was counted for a pool and is kept. */
export async function totalArrivals(
  { dataSource }: Pick<Store, 'dataSource'>,
  pool: string,
): Promise<number> {
  const [row] = await dataSource.query<[{ total: string | number }]>(
    'select coalesce(sum(arrivals), 0) as total from demand where pool = $1',
    [pool],
  );
  return Number(row.total);
}

export function bucketAt(startMs: number, arrivals: number): Bucket {
  const none = () => ({ count: 0, sum: 0, zeros: 0, offset: 0, bins: [] });
  const counts = { retries: 0, starts: 0, completions: 0, failures: 0, abandonments: 0, rejections: 0 };
  const sketches = { waitMs: none(), serviceMs: none(), responseMs: none() };
  return { startMs, arrivals, ...counts, expiredQueued: 0, expiredStarted: 0, ...sketches };
}

export function forecastAt(originMs: number, value: number, pool = 'etl'): Forecast {
  return {
    v: 1,
    pool,
    originMs,
    bucketS: 1,
    horizons: [{ horizonS: 1, levels: [0.5], values: [value] }],
    provenance: { weights: { last: 1 }, historyBuckets: 1, state: 'warm' },
  };
}

export function decided(kind: Decision['kind'], atMs: number, desired: number, pool = 'etl'): DecisionRecord {
  const decision: Decision = {
    kind,
    pool,
    atMs,
    desired,
    previousDesired: desired,
    reason: 'reaction',
    explanation: `at ${atMs}`,
    inputs: { arrivalRatePerS: atMs },
    neededNow: undefined,
    pricedLevel: undefined,
    pricedHorizonS: undefined,
    objectiveReachable: true,
    limits: [],
  };
  const recent = { recentDesired: [{ atMs, desired }], recentChanges: [] };
  const memory = { v: 1 as const, ...recent, lastDesired: desired, lastNowMs: atMs };
  return { v: 1, decision: JSON.parse(JSON.stringify(decision)) as Decision, memory, policyVersion: 1 };
}
