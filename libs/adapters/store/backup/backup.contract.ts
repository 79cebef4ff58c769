import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { policySchema } from '#domain/scaling';
import { DecisionStore } from '../decision-store.js';
import { DemandStore } from '../demand-store.js';
import { ForecastStore } from '../forecast-store.js';
import { KEEP_EIGHT_DAYS } from '../partitions/partitioned-table.js';
import { PolicyStore } from '../policy-store.js';
import { bucketAt, decided, forecastAt, totalArrivals } from '../store.contract.js';
import type { Store } from '../store.js';
import { STORE_TABLES } from './backup-format.js';
import { backupStream } from './backup-stream.js';
import { readBackup } from './read-backup.js';
import { restoreBackup, tablesInUse, type RestoreOptions } from './restore-backup.js';

const NOW_MS = Date.now();
const DAY_MS = 86_400_000;
const TIMEOUT_MS = 120_000;

export const RESTORE: RestoreOptions = {
  partitions: { demand: KEEP_EIGHT_DAYS, forecasts: KEEP_EIGHT_DAYS, decisions: KEEP_EIGHT_DAYS },
  logTables: [],
  newLog: false,
};

/** Steps of a projection as the program writes them: each adds three arrivals, a forecast and a decision. */
export class Load {
  steps = 0;
  private readonly demand: DemandStore;
  private readonly forecasts: ForecastStore;
  private readonly decisions: DecisionStore;

  constructor(store: Store) {
    this.demand = new DemandStore(store.dataSource);
    this.forecasts = new ForecastStore(store.dataSource);
    this.decisions = new DecisionStore(store.dataSource);
  }

  async step(): Promise<void> {
    const from = this.steps;
    const nextOffset = from + 1;
    const atMs = NOW_MS - (from % 5) * DAY_MS + from;
    await this.demand.write({
      buckets: [{ pool: 'web', bucket: bucketAt(atMs, 3) }],
      chains: [{ pool: 'web', partition: 0, nextOffset, backlog: 0, inFlight: 0 }],
      series: [{ pool: 'web', bucketS: 1, fromMs: 0 }],
      step: { topic: 'demand.v1', partition: 0, from, nextOffset },
    });
    const step = { topic: 'forecasts.v1', partition: 0, from, nextOffset };
    await this.forecasts.write({ made: [forecastAt(atMs, from, 'web')], step });
    await this.decisions.write({
      made: [decided('scale', atMs, from, 'web')],
      step: { ...step, topic: 'decisions.v1' },
    });
    this.steps++;
  }
}

/** Nothing that is written while a backup is taken may make it less than one moment of the store. */
export function backupContract(
  name: string,
  open: { source(): Promise<Store>; target(): Promise<Store> },
): void {
  describe(`backup contract: ${name}`, () => {
    let source: Store;
    let target: Store;
    let load: Load;
    beforeAll(async () => {
      source = await open.source();
      load = new Load(source);
      const policy = policySchema.parse({ mode: 'reactive' });
      await new PolicyStore(source.dataSource).create({ pool: 'web', policy, nowMs: 5 });
      await source.dataSource.query(`insert into event_logs values ('this one')`);
      for (let i = 0; i < 60; i++) await load.step();
    }, TIMEOUT_MS);
    afterAll(() => source.close());

    test(
      'taken under load and restored, everything is of one moment, and goes on from there',
      async () => {
        const stop = new AbortController();
        const loading = (async () => {
          while (!stop.signal.aborted) await load.step();
        })();
        const before = load.steps;
        const backup = await backupStream(source, { takenAtMs: NOW_MS, logTables: [] });
        const after = load.steps;
        while (load.steps < after + 10) await new Promise((resolve) => setImmediate(resolve));
        const taken = await backup.toArray();
        stop.abort();
        await loading;

        target = await open.target();
        try {
          expect(await tablesInUse(target.dataSource, [])).toEqual([]);
          const rows = await restoreBackup(target.dataSource, readBackup(Readable.from(taken)), RESTORE);
          const demand = new DemandStore(target.dataSource);
          const { chains, offsets } = await demand.standing();
          const steps = offsets[0]?.nextOffset as number;
          expect(steps).toBeGreaterThanOrEqual(before);
          // One may be on its way when the backup begins.
          expect(steps).toBeLessThanOrEqual(after + 1);
          expect(chains).toEqual([{ pool: 'web', partition: 0, nextOffset: steps, backlog: 0, inFlight: 0 }]);
          expect(await totalArrivals(target, 'web')).toBe(3 * steps);
          expect(rows).toMatchObject({
            policies: 1,
            demand: steps,
            demand_chains: 1,
            projection_offsets: 3,
            event_logs: 1,
          });
          expect(await new PolicyStore(target.dataSource).get('web')).toEqual(
            await new PolicyStore(source.dataSource).get('web'),
          );
          const [theirs, ours] = await Promise.all(
            [source, target].map(({ dataSource }) =>
              new DecisionStore(dataSource).page({
                pool: 'web',
                limit: 500,
                beforeId: (rows['decisions'] as number) + 1,
              }),
            ),
          );
          expect(ours).toEqual(theirs);
          expect(await tablesInUse(target.dataSource, [])).toHaveLength(8);
          // Ids and places go on from there.
          const step = {
            topic: 'decisions.v1',
            partition: 0,
            from: rows['decisions'] as number,
            nextOffset: 10_000,
          };
          const decisions = new DecisionStore(target.dataSource);
          await decisions.write({ made: [decided('scale', NOW_MS, 1, 'web')], step });
          expect((await decisions.latestOf(['web'])).get('web')?.id).toBe((rows['decisions'] as number) + 1);
        } finally {
          await target.close();
        }
      },
      TIMEOUT_MS,
    );

    test(
      'a restore that fails leaves an empty store, and for another log the places are left out',
      async () => {
        const backup = await backupStream(source, { takenAtMs: NOW_MS, logTables: [] });
        const taken = Buffer.concat(await backup.toArray());
        target = await open.target();
        try {
          const half = Readable.from([taken.subarray(0, taken.length - 20)]);
          await expect(restoreBackup(target.dataSource, readBackup(half), RESTORE)).rejects.toThrow(
            /^backup: /,
          );
          expect(await tablesInUse(target.dataSource, [])).toEqual([]);
          const whole = readBackup(Readable.from([taken]));
          const rows = await restoreBackup(target.dataSource, whole, { ...RESTORE, newLog: true });
          expect(Object.keys(rows)).toEqual([
            'policies',
            'demand',
            'demand_series',
            'forecasts',
            'decisions',
          ]);
          const demand = new DemandStore(target.dataSource);
          expect(await demand.standing()).toEqual({ chains: [], droppedTo: new Map(), offsets: [] });
          expect(await demand.seriesOf(['web'])).toEqual([{ pool: 'web', bucketS: 1, fromMs: 0 }]);
          expect(await totalArrivals(target, 'web')).toBe(3 * load.steps);
        } finally {
          await target.close();
        }
      },
      TIMEOUT_MS,
    );

    test(
      'of a store that an older version has left, a backup has the tables that there are',
      async () => {
        await source.dataSource.query('alter table event_logs rename to event_logs_later');
        const backup = await backupStream(source, { takenAtMs: NOW_MS, logTables: ['log_later'] });
        const taken = Readable.from(await backup.toArray());
        await source.dataSource.query('alter table event_logs_later rename to event_logs');
        const tables: string[] = [];
        for await (const part of readBackup(taken)) if (part.kind === 'table') tables.push(part.table.table);
        expect(tables).toEqual(STORE_TABLES.filter((table) => table !== 'event_logs'));
      },
      TIMEOUT_MS,
    );

    test(
      'a backup that its reader gives up lets go of the store',
      async () => {
        const backup = await backupStream(source, { takenAtMs: NOW_MS, logTables: [] });
        backup.destroy();
        await load.step();
        const again = await backupStream(source, { takenAtMs: NOW_MS, logTables: [] });
        expect((await again.toArray()).length).toBeGreaterThan(0);
      },
      TIMEOUT_MS,
    );
  });
}
