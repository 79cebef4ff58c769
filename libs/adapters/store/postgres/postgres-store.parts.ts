import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { startPostgres, type Postgres } from '#parts/postgres';
import { backupContract } from '../backup/backup.contract.js';
import { newDataSource } from '../data-source.js';
import { DemandStore } from '../demand-store.js';
import { migrationsContract } from '../migrations/migrations.contract.js';
import { retentionContract } from '../partitions/retention.contract.js';
import { ProjectionMoved } from '../projection.js';
import { queryPlansContract } from '../query-plans.contract.js';
import { bucketAt, storeContract, totalArrivals } from '../store.contract.js';
import { storeSchema, type PostgresSettings } from '../store-settings.js';
import type { Store } from '../store.js';
import { BOUNDED_DRIVER } from './bounded-pool.js';
import { openPostgresStore } from './postgres-store.js';

const DEADLINE_MS = 60_000;

let server: Postgres;
beforeAll(async () => {
  server = await startPostgres();
  for (const name of ['contract', 'retention', 'plans', 'source', 'target', 'others'])
    await query(`create database ${name}`);
}, DEADLINE_MS);
afterAll(() => server.stop(), DEADLINE_MS);

/** What a test has opened, to be closed after it however it ends. */
const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
}, DEADLINE_MS);
async function openStore(settings: PostgresSettings): Promise<Store> {
  const store = await openPostgresStore(settings);
  open.push(store);
  return store;
}

async function query(sql: string, url = server.url): Promise<unknown[]> {
  const dataSource = await newDataSource({ url }).initialize();
  try {
    return await dataSource.query<unknown[]>(sql);
  } finally {
    await dataSource.destroy();
  }
}

function settingsOf(database: string, more: object = {}): PostgresSettings {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  return storeSchema.parse({ kind: 'postgres', url: url.href, ...more }) as PostgresSettings;
}

storeContract('PostgreSQL', () => openPostgresStore(settingsOf('contract')));
retentionContract('PostgreSQL', () => openPostgresStore(settingsOf('retention')));
queryPlansContract('PostgreSQL', { open: () => openPostgresStore(settingsOf('plans')), upkeep: 'analyze' });
backupContract('PostgreSQL', {
  source: () => openPostgresStore(settingsOf('source')),
  target: async () => {
    await query('drop schema public cascade; create schema public', settingsOf('target').url);
    return openPostgresStore(settingsOf('target'));
  },
});
migrationsContract('PostgreSQL', async () => {
  await query('drop database if exists migrated');
  await query('create database migrated');
  const { url } = settingsOf('migrated');
  return {
    connection: { url, driver: BOUNDED_DRIVER, extra: { answerTimeoutMs: 30_000 } },
    close: async () => undefined,
  };
});

/** Asks until it holds. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: must hold within ${DEADLINE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('several processes on one server', () => {
  let stores: Store[] = [];
  beforeEach(() => query('drop schema public cascade; create schema public', settingsOf('others').url));
  const openMany = async (count: number, more: object = {}) =>
    (stores = await Promise.all(Array.from({ length: count }, () => openStore(settingsOf('others', more)))));

  test('that start at once migrate once', async () => {
    const [store] = await openMany(5);
    const [row] = await (store as Store).dataSource.query<[{ count: string }]>(
      'select count(*) from migrations',
    );
    expect(Number(row.count)).toBe(2);
  });

  test('that write the same projection at once add each step once', async () => {
    await openMany(4);
    const at = { topic: 'demand.v1', partition: 0 };
    let moved = 0;
    /** Reads where the table stands, adds one, and begins anew when somebody else was faster. */
    const writer = async ({ dataSource }: Store, steps: number) => {
      const demand = new DemandStore(dataSource);
      while (steps > 0) {
        const { offsets } = await demand.standing();
        const from = offsets[0]?.nextOffset ?? 0;
        const [held] = await demand.at([{ pool: 'web', startMs: 1000 }]);
        const bucket = bucketAt(1000, (held?.bucket.arrivals ?? 0) + 1);
        const step = { ...at, from, nextOffset: from + 1 };
        const chains = [{ pool: 'web', partition: 0, nextOffset: from + 1, backlog: 0, inFlight: 0 }];
        try {
          await demand.write({ buckets: [{ pool: 'web', bucket }], chains, step });
          steps--;
        } catch (error) {
          if (!(error instanceof ProjectionMoved)) throw error;
          moved++;
        }
      }
    };
    await Promise.all(stores.map((store) => writer(store, 25)));
    const demand = new DemandStore((stores[0] as Store).dataSource);
    expect(await totalArrivals(stores[0] as Store, 'web')).toBe(100);
    expect((await demand.standing()).offsets[0]?.nextOffset).toBe(100);
    expect(moved).toBeGreaterThan(0);
  });

  test('that need the same partition at once make it once', async () => {
    await openMany(4);
    await Promise.all(
      stores.map(({ dataSource }, partition) =>
        new DemandStore(dataSource).write({
          buckets: [0, 400, 800].map((days) => ({
            pool: `pool-${partition}`,
            bucket: bucketAt(days * 86_400_000, 1),
          })),
          chains: [],
          step: { topic: 'demand.v1', partition, from: 0, nextOffset: 1 },
        }),
      ),
    );
    for (const partition of stores.keys())
      expect(await totalArrivals(stores[0] as Store, `pool-${partition}`)).toBe(3);
  });

  test('a partition that somebody reads waits, and goes the next time', async () => {
    const [store] = (await openMany(1)) as [Store];
    const outcomes: string[] = [];
    const demand = new DemandStore(store.dataSource, {
      retention: { keptMs: () => 1, valuesMs: [1] },
      nowMs: Date.now,
      observe: ({ outcome }) => outcomes.push(outcome),
    });
    const step = { topic: 'demand.v1', partition: 0, from: 0, nextOffset: 1 };
    await demand.write({ buckets: [{ pool: 'web', bucket: bucketAt(1000, 1) }], chains: [], step });
    const signal = new AbortController().signal;
    const snapshot = await store.snapshot();
    await demand.retain(signal);
    expect(outcomes.filter((outcome) => outcome !== 'created')).toEqual(['waiting']);
    await snapshot.close();
    await demand.retain(signal);
    expect(outcomes.filter((outcome) => outcome !== 'created')).toEqual(['waiting', 'dropped']);
  });
});

/** A line to the server that can be cut: connections stay open, and nothing comes through. */
class Line {
  private readonly sockets = new Set<Socket>();
  private isCut = false;

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async to({ hostname, port }: URL): Promise<Line> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const line = new Line(server, (server.address() as AddressInfo).port);
    server.on('connection', (near) => line.join(near, connect(Number(port), hostname)));
    return line;
  }

  cut(): void {
    this.isCut = true;
  }

  /** What was lost on the way stays lost: the ends learn of it. */
  mend(): void {
    this.isCut = false;
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.mend();
    this.server.close();
    await once(this.server, 'close');
  }

  private join(near: Socket, far: Socket): void {
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.sockets.add(from);
      from.on('data', (data) => void (this.isCut || to.write(data)));
      from.on('error', () => to.destroy());
      from.on('close', () => (this.sockets.delete(from), this.isCut || to.destroy()));
    }
  }
}

describe('a server that is away', () => {
  let store: Store;
  const brief = { connectTimeoutMs: 1_000, statementTimeoutMs: 1_000 };

  test('comes back: writers fail meanwhile and go on, and nothing is lost or twice', async () => {
    store = await openStore(settingsOf('contract', brief));
    const demand = new DemandStore(store.dataSource);
    let died = false;
    void store.died.then(() => (died = true));
    const at = { topic: 'restarts.v1', partition: 0 };
    const failures = new Set<string>();
    const problems: string[] = [];
    let written = 0;
    const stop = new AbortController();
    const writing = (async () => {
      while (!stop.signal.aborted) {
        try {
          const held = (await demand.standing()).offsets.find(({ topic }) => topic === at.topic);
          const from = held?.nextOffset ?? 0;
          const [sum] = await demand.at([{ pool: 'restarts', startMs: 1000 }]);
          const bucket = bucketAt(1000, (sum?.bucket.arrivals ?? 0) + 1);
          await demand.write({
            buckets: [{ pool: 'restarts', bucket }],
            chains: [],
            step: { ...at, from, nextOffset: from + 1 },
          });
          written++;
        } catch (error) {
          failures.add((error as { code?: string }).code ?? (error as Error).name);
        }
      }
    })();
    for (const [round, end] of (['restart', 'kill'] as const).entries()) {
      await until('some writes', () => written > 20 * (round + 1));
      if (end === 'kill') {
        await server.kill();
        await until('the problem is said', () => store.problem() !== undefined);
        problems.push(store.problem() as string);
      }
      await server.restart();
      const before = written;
      await until('writes after it', () => written > before + 20);
      await until('no problem', () => store.problem() === undefined);
    }
    stop.abort();
    await writing;
    expect(failures.size).toBeGreaterThan(0);
    // One that finds its connection gone between two statements is told by TypeORM.
    expect([...failures].filter((code) => !/^(08|57P)|^QueryRunnerAlreadyReleasedError$/.test(code))).toEqual(
      [],
    );
    expect(problems.join()).toMatch(/^store: PostgreSQL must be reachable, got: .*ECONNREFUSED/);
    const { offsets } = await demand.standing();
    expect(await totalArrivals(store, 'restarts')).toBe(
      offsets.find(({ topic }) => topic === at.topic)?.nextOffset,
    );
    expect(died).toBe(false);
  }, 120_000);

  test(
    'or cannot be heard: answers have an end, and the connections are replaced',
    async () => {
      const line = await Line.to(new URL(server.url));
      open.push(line);
      const url = Object.assign(new URL(settingsOf('contract').url), { port: String(line.port) }).href;
      store = await openStore({ ...settingsOf('contract', brief), url });
      const runner = store.dataSource.createQueryRunner();
      await runner.query('select 1');
      line.cut();
      await expect(runner.query('select 1')).rejects.toMatchObject({
        code: '08000',
        message: expect.stringContaining('must answer within 6000 ms, did not'),
      });
      await runner.release();
      await expect(store.dataSource.query('select 1')).rejects.toMatchObject({ code: '08000' });
      expect(store.problem()).toMatch(/^store: (must answer within 2000 ms, did not|PostgreSQL must be)/);
      line.mend();
      await until('no problem', () => store.problem() === undefined);
      expect(await store.dataSource.query('select 1 as one')).toEqual([{ one: 1 }]);
    },
    DEADLINE_MS,
  );

  test(
    'or only reads: the store says so',
    async () => {
      await query('create database reading');
      await (await openPostgresStore(settingsOf('reading'))).close();
      await query('alter database reading set default_transaction_read_only = on');
      store = await openStore(settingsOf('reading'));
      await until('the problem is said', () => store.problem() !== undefined);
      expect(store.problem()).toBe('store: must take writes, got a server that only reads');
    },
    DEADLINE_MS,
  );
});

describe('bounds', () => {
  let store: Store;

  test(
    'a statement that takes too long, and a lock that does not come, end by name',
    async () => {
      store = await openStore(settingsOf('contract', { statementTimeoutMs: 300, lockTimeoutMs: 100 }));
      const { dataSource } = store;
      await expect(dataSource.query('select pg_sleep(10)')).rejects.toMatchObject({ code: '57014' });
      await dataSource.transaction(async (transaction) => {
        await transaction.query('lock table policies');
        await expect(dataSource.query('select * from policies')).rejects.toMatchObject({ code: '55P03' });
      });
    },
    DEADLINE_MS,
  );

  test(
    'connections are at most as many as configured; one more waits, and not for ever',
    async () => {
      store = await openStore(settingsOf('contract', { maxConnections: 2, connectTimeoutMs: 1_000 }));
      const { dataSource } = store;
      const sleeps = [1, 2].map(() => dataSource.query('select pg_sleep(3)'));
      await expect(dataSource.query('select 1')).rejects.toMatchObject({ code: '08000' });
      await Promise.all(sleeps);
      expect(await dataSource.query('select 1 as one')).toEqual([{ one: 1 }]);
    },
    DEADLINE_MS,
  );

  test(
    'a transaction that nobody goes on with is ended by the server',
    async () => {
      store = await openStore(settingsOf('contract', { idleTimeoutMs: 1_000 }));
      const runner = store.dataSource.createQueryRunner();
      await runner.startTransaction();
      await runner.query('lock table policies');
      await store.dataSource.query('select * from policies');
      await expect(runner.query('select 1')).rejects.toThrow(/released|terminat/i);
      await runner.release();
    },
    DEADLINE_MS,
  );
});
