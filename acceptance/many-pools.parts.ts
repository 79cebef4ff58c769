import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Client } from 'pg';
import { startsKafkaAndPostgres } from '#parts/kafka-and-postgres';
import { TOPICS, topicSpecs } from '#adapters/event-log';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import { kafkaSettingsSchema, type KafkaSettings } from '#adapters/event-log/kafka-settings';
import { KEY_FILE, openLocalIdentity } from '#adapters/identity';
import { parsePartial, type DemandPartial } from '#domain/demand';
import { ApiClient } from './api-client.js';
import { bin, eventually, freePorts, Workplace, type HeadroomProcess } from './headroom-process.js';
import { completed, type SentEvent } from './sent-events.js';
import { newDatabase } from './separate-processes.js';

// Ten thousand pools at once, and one that is as large as all of them, on Kafka and PostgreSQL.

jest.setTimeout(120_000);

const POOLS = 10_000;
const PARTITIONS = 12;
const EVENTS_PER_POST = 1_000;
const BUCKET_S = 60;
const BUCKET_MS = BUCKET_S * 1000;
/** How often every pool is decided. */
const PERIOD_S = 0.5;
/** That a machine must have for it: one for the decisions, one for the threads beside them. */
const CORES = 2;
/** Some runs of them. */
const WINDOW_MS = 8_000;
/** Far more than it takes on a quiet machine. */
const WITHIN_MS = 90_000;
const MEGABYTE = 1024 * 1024;

const poolName = (n: number) => `pool-${n}`;
const everyPool = Array.from({ length: POOLS }, (_, n) => poolName(n));

interface Service {
  api: ApiClient;
  program: HeadroomProcess;
}

const servers = startsKafkaAndPostgres();
let work: Workplace;
let settings: KafkaSettings;
let database: Client;
let shared: object;
let token: string;
let deployments = 0;

beforeEach(async () => {
  work = new Workplace();
  const name = `pools${++deployments}`;
  settings = kafkaSettingsSchema.parse({
    kind: 'kafka',
    brokers: [servers.kafka.bootstrap],
    replicationFactor: 1,
    prefix: `${name}.`,
    bundles: PARTITIONS,
    sessionTimeoutMs: 6_000,
  });
  const url = await newDatabase(servers.postgres.url, name);
  database = new Client(url);
  await database.connect();
  await openLocalIdentity(work.dataDir, { create: true });
  shared = {
    eventLog: settings,
    store: { kind: 'postgres', url },
    identity: { keyFile: join(work.dataDir, KEY_FILE) },
    ingest: { partitions: PARTITIONS, maxPools: POOLS },
    log: { statusEveryS: 0 },
  };
  token = await work.token('all');
}, 60_000);
afterEach(async () => {
  await work.clean();
  await database.end();
}, 60_000);

/** Resolves when it is ready. */
async function started(target: string, more: object = {}): Promise<Service> {
  const [port, router] = (await freePorts(2)) as [number, number];
  const place = `${target}-${port}`;
  const file = work.write(`${place}.json`, { ...shared, ...more, api: { port }, router: { port: router } });
  const dataDir = join(work.folder, place);
  const start = [bin, 'start', '--config', file, '--data-dir', dataDir, '--target', target];
  // Its processor time is measured: counting what was covered would take most of it.
  const program = work.run(process.execPath, start, { NODE_V8_COVERAGE: '' });
  await program.line(/^headroom: ready after/m);
  return { program, api: new ApiClient(`http://127.0.0.1:${port}`, token) };
}

/** Each service takes every n-th request, as a balancer in front of them would have it. */
async function post(events: SentEvent[], services: readonly Service[]): Promise<void> {
  const requests = Array.from({ length: Math.ceil(events.length / EVENTS_PER_POST) }, (_, i) =>
    events.slice(i * EVENTS_PER_POST, (i + 1) * EVENTS_PER_POST),
  );
  await Promise.all(
    services.map(async ({ api }, nth) => {
      for (const body of requests.filter((_, i) => i % services.length === nth))
        expect(await api.send('POST', '/v1/events', { body })).toMatchObject({
          status: 202,
          body: { refused: [] },
        });
    }),
  );
}

const oneOfEach = (round: string, queuedAtMs: number) =>
  everyPool.map((pool) => completed({ id: `${round}-${pool}`, pool, queuedAtMs }));

/** Arrivals of every pool, by how many pools have so many. */
async function poolsByArrivals(): Promise<Record<string, number>> {
  const { rows } = await database.query<{ arrivals: string; pools: string }>(
    `select arrivals, count(*) as pools from (select pool, sum(arrivals) as arrivals from demand group by pool) as sums
     group by arrivals`,
  );
  return Object.fromEntries(rows.map(({ arrivals, pools }) => [arrivals, Number(pools)]));
}

async function eventuallyCounted(wanted: Record<string, number>): Promise<void> {
  let counted: unknown;
  const isCounted = async () => {
    counted = await poolsByArrivals();
    return JSON.stringify(counted) === JSON.stringify(wanted) || undefined;
  };
  // What was counted says more than that it took too long.
  await eventually('every pool counted', isCounted, WITHIN_MS).catch(() => undefined);
  expect(counted).toEqual(wanted);
}

/** Peak of the resident memory, MB. */
function peakMb({ program }: Service): number {
  const status = readFileSync(`/proc/${program.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** Samples of one metric, their labels by name. */
async function samplesOf({ api }: Service, metric: string) {
  return [...(await api.metrics())].flatMap(([name, value]) => {
    const [, labels = ''] = new RegExp(`^${metric}\\{(.*)\\}$`).exec(name) ?? [];
    if (labels === '') return [];
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, text]) => [label, text] as const);
    return [{ labels: Object.fromEntries(pairs) as Record<string, string>, value }];
  });
}

async function log(): Promise<KafkaEventLog> {
  const opened = await KafkaEventLog.open(settings, { note: () => undefined });
  await opened.ensureTopics(topicSpecs({ partitions: PARTITIONS, dedupeWindowS: 300 }));
  return opened;
}

test('ten thousand pools at once, through one ingest and through two: each is counted to the unit', async () => {
  const atMs = Date.now() - 5_000;
  const first = await started('ingest');
  await post([...oneOfEach('a', atMs), ...oneOfEach('b', atMs)], [first]);
  await eventuallyCounted({ 2: POOLS });
  const second = await started('ingest');
  await post([...oneOfEach('c', atMs), ...oneOfEach('a', atMs)], [first, second]);
  await eventuallyCounted({ 3: POOLS });
  const { rows } = await database.query<{ pools: string }>('select count(*) as pools from policies');
  expect(Number(rows[0]?.pools)).toBe(POOLS);

  // One more is refused, and says what it lacks.
  await post([completed({ id: 'x', pool: 'one-too-many', queuedAtMs: atMs })], [second]);
  const letters = await log();
  const at = { topic: TOPICS.deadLetters, partition: 0, offset: 0, maxRecords: 10 };
  const [letter] = await eventually('a dead letter', async () => {
    const read = await letters.read(at);
    return read.length > 0 ? read : undefined;
  });
  await letters.close();
  expect(letter?.headers).toMatchObject({
    'headroom-reason': 'too_many_pools',
    'headroom-detail': 'no room for pool one-too-many (ingest.maxPools)',
  });
  expect(await poolsByArrivals()).toEqual({ 3: POOLS });

  // Each partition is read by one of them, and is in its metrics.
  const services = [first, second];
  const lags = (
    await Promise.all(services.map((each) => samplesOf(each, 'headroom_consumer_lag_records')))
  ).flat();
  for (const [group, topic] of [
    ['ingest', TOPICS.executions],
    ['demand-table', TOPICS.demand],
  ]) {
    const own = lags.filter(({ labels }) => labels['group'] === group);
    expect(own.map(({ labels }) => Number(labels['partition'])).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: PARTITIONS }, (_, partition) => partition),
    );
    expect(own.every(({ labels, value }) => labels['topic'] === topic && value === 0)).toBe(true);
  }
  for (const each of services) expect(peakMb(each)).toBeLessThan(600);
  for (const { program } of services) expect(program.stderr).not.toMatch(/"level":(50|60)/);
});

test('the events of one hot pool spread over all partitions, and its partial counts merge to the unit', async () => {
  const HOT = 24_000;
  const services = [await started('ingest'), await started('ingest')];
  const reader = await log();
  const fromMs = Date.now() - 5_000;
  const events = Array.from({ length: HOT }, (_, n) =>
    completed({ id: `hot-${n}`, pool: 'hot', queuedAtMs: fromMs }),
  );
  await post(events, services);
  await eventuallyCounted({ [HOT]: 1 });
  const numbers = Array.from({ length: PARTITIONS }, (_, partition) => partition);
  const sent = await Promise.all(
    numbers.map((partition) => reader.endOffset({ topic: TOPICS.executions, partition })),
  );
  expect(sent.reduce((sum, records) => sum + records)).toBe(HOT);
  // Ids are spread by a hash: 45 is the deviation of a binomial share of a twelfth.
  for (const records of sent) expect(Math.abs(records - HOT / PARTITIONS)).toBeLessThan(6 * 45);

  const partials = await partialsOf('hot', reader);
  await reader.close();
  const counted = numbers.map((partition) =>
    partials
      .filter(({ range }) => range.partition === partition)
      .flatMap(({ buckets }) => buckets)
      .reduce((sum, { arrivals }) => sum + arrivals, 0),
  );
  expect(counted).toEqual(sent);
});

async function partialsOf(pool: string, reader: KafkaEventLog): Promise<DemandPartial[]> {
  const at = { topic: TOPICS.demand, partition: reader.partitionOf({ topic: TOPICS.demand, key: pool }) };
  const partials: DemandPartial[] = [];
  for (let offset = 0; ;) {
    const page = await reader.read({ ...at, offset, maxRecords: 1_000 });
    const last = page.at(-1);
    if (last === undefined) return partials;
    partials.push(...page.map(({ value }) => parsePartial(value ?? '') as DemandPartial));
    offset = last.offset + 1;
  }
}

test('ten thousand pools with policies: each is forecast and decided, and the decisions are made in time', async () => {
  const pools = Object.fromEntries(everyPool.map((pool) => [pool, { bucketS: BUCKET_S }]));
  const services = await Promise.all(
    ['ingest', 'forecaster', 'autoscaler'].map((target) => started(target, { pools })),
  );
  const [ingest, , autoscaler] = services as [Service, Service, Service];
  const openMs = Math.floor(Date.now() / BUCKET_MS) * BUCKET_MS;
  const past = [3, 2, 1].flatMap((ago) => oneOfEach(`ago-${ago}`, openMs - ago * BUCKET_MS));
  await post(past, [ingest]);
  await eventuallyCounted({ 3: POOLS });

  for (const table of ['forecasts', 'decisions'])
    await eventually(`${table} of every pool`, () => hasEveryPool(table), WITHIN_MS);
  expect(await decidedPools(autoscaler)).toHaveLength(POOLS);

  // In processor time, of all of its threads and with all that it does beside: a machine that is busy changes little of it.
  const before = await spentBy(autoscaler);
  await new Promise((resolve) => setTimeout(resolve, WINDOW_MS));
  const after = await spentBy(autoscaler);
  expect((after.cpuS - before.cpuS) / (after.runs - before.runs)).toBeLessThan(CORES * PERIOD_S);

  // As many names as pools, whatever they are called, and a page that can be read.
  const { body: page } = await autoscaler.api.get<string>('/metrics');
  expect(new Set([...page.matchAll(/pool="([^"]*)"/g)].map(([, pool]) => pool)).size).toBe(POOLS);
  expect(page.length).toBeLessThan(16 * MEGABYTE);
  for (const each of services) expect(peakMb(each)).toBeLessThan(1_500);
});

async function hasEveryPool(table: string): Promise<true | undefined> {
  const { rows } = await database.query<{ pools: string }>(
    `select count(distinct pool) as pools from ${table}`,
  );
  return Number(rows[0]?.pools) === POOLS || undefined;
}

/** Runs of its decisions so far, and the time of all cores that it has used. */
async function spentBy({ api }: Service): Promise<{ runs: number; cpuS: number }> {
  const samples = await api.metrics();
  const runs = samples.get('headroom_loop_run_seconds_count{loop="decide"}') ?? 0;
  return { runs, cpuS: samples.get('process_cpu_seconds_total') ?? 0 };
}

/** Pools with a decision, page by page as the API gives them. */
async function decidedPools({ api }: Service): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | null = '';
  do {
    const place: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const { body } = await api.get<{
      items: { pool: string; decision: object | null }[];
      nextCursor: string | null;
    }>(`/v1/pools?limit=500${place}`);
    found.push(...body.items.filter(({ decision }) => decision !== null).map(({ pool }) => pool));
    cursor = body.nextCursor;
  } while (cursor !== null);
  return [...new Set(found)];
}
