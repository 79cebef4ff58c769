import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  EmbeddedEventLog,
  EventLogServer,
  HandlerErrors,
  LogOverloaded,
  TOPICS,
  topicSpecs,
  type StoredRecord,
} from '#adapters/event-log';
import type { DemandSampler, SampleSpan } from '#adapters/demand-samplers';
import { apiAdapter, configureApi, openApiOf } from '#adapters/http-api';
import {
  DemandStore,
  openEmbeddedStore,
  PolicyStore,
  type EmbeddedStore,
  type PolicyRow,
} from '#adapters/store';
import type {
  RecordSource,
  RecordSourceObserver,
  RecordSourceOptions,
  SourceRecord,
} from '#adapters/record-sources';
import { historyPartition, type Bucket, type DemandPartial, type DemandSample } from '#domain/demand';
import { MAX_EVENT_BYTES } from '#domain/events';
import { mappingSchema, type Mapping } from '#domain/mapping';
import { policySchema } from '#domain/scaling';
import { MAX_REPLAYS } from './dead-letter-replay.js';
import { DEAD_LETTER_ROUTES, type LetterAnswer, type ReplayAnswer } from './dead-letter-routes.js';
import { letterOf, type StoredLetter } from './dead-letter.js';
import { MAX_EVENTS_PER_REQUEST } from './event-intake.js';
import { RecordSources } from './event-sources.module.js';
import { EVENT_ROUTES } from './events.controller.js';
import { HISTORY_ROUTES } from './history.controller.js';
import { MAX_HISTORIES, MAX_HISTORY_BUCKETS } from './history-import.js';
import { IngestObserver, type CountedBatch, type PartialApplied } from './ingest-observer.js';
import { IngestModule, ingestSettings } from './ingest.module.js';
import { PartitionCounting } from './partition-counting.js';
import { PoolRegistry } from './pool-registry.js';
import { keptS } from './retention.loop.js';
import { WEBHOOK_ROUTES } from './webhooks.controller.js';

const PARTITIONS = 2;
const settings = { dedupeWindowS: 300, maxExecutionS: 3600, maxPools: 4 };
const defaults = { bucketS: 10, latenessS: 5, seasonsS: [86_400], policy: policySchema.parse({}) };
const web = { ...defaults, bucketS: 1, policy: policySchema.parse({ mode: 'reactive' }) };

const jobs: Mapping = {
  ...mappingSchema.parse({
    each: 'runs',
    execution: '{id}',
    pool: 'web',
    ignore: [{ when: { path: 'manual', is: true }, why: 'by hand' }],
    status: { text: '{state}', values: { ok: 'completed' } },
    times: { endedAt: 'at' },
  }),
  name: 'jobs',
};

/** Keeps what it is told. */
class Witness extends IngestObserver {
  batches: CountedBatch[] = [];
  replayed = 0;
  created: string[] = [];
  partials: PartialApplied[] = [];
  restarts: string[] = [];
  seriesRestarted({ pool }: { pool: string }): void {
    this.restarts.push(pool);
  }
  unreadable = 0;
  received: Record<string, number> = {};
  failures: Error[] = [];
  loopFailures: Error[] = [];
  counted(batch: CountedBatch): void {
    this.batches.push(batch);
  }
  restored({ replayed }: { replayed: number }): void {
    this.replayed += replayed;
  }
  poolCreated(pool: string): void {
    this.created.push(pool);
  }
  partialApplied(partial: PartialApplied): void {
    this.partials.push(partial);
  }
  partialUnreadable(): void {
    this.unreadable++;
  }
  eventsReceived(outcome: string, events: number): void {
    this.received[outcome] = (this.received[outcome] ?? 0) + events;
  }
  mapped: Record<string, number> = {};
  recordsMapped(mapping: string, outcome: string, records: number): void {
    const name = `${mapping} ${outcome}`;
    this.mapped[name] = (this.mapped[name] ?? 0) + records;
  }
  asked = 0;
  sampleErrors: string[] = [];
  sampled({ asked }: { asked: number }): void {
    this.asked += asked;
  }
  sampleFailed({ error }: { error: Error }): void {
    this.sampleErrors.push(error.message);
  }
  histories: string[] = [];
  historyTaken(outcome: string): void {
    this.histories.push(outcome);
  }
  taken = 0;
  notTaken = 0;
  ofSource(): RecordSourceObserver {
    return {
      connected: () => undefined,
      disconnected: () => undefined,
      taken: (records) => void (this.taken += records),
      notTaken: () => void this.notTaken++,
    };
  }
  appendFailed(error: Error): void {
    this.failures.push(error);
  }
  lettersGiven: Record<string, number> = {};
  lettersRead(operation: string, letters: number): void {
    this.lettersGiven[operation] = (this.lettersGiven[operation] ?? 0) + letters;
  }
  lettersUnreadable(error: Error): void {
    this.failures.push(error);
  }
  replays: Record<string, number> = {};
  lettersReplayed({ outcome, letters }: { outcome: string; letters: number }): void {
    this.replays[outcome] = (this.replays[outcome] ?? 0) + letters;
  }
  readonly loop = {
    ran: () => undefined,
    failed: ({ error }: { error: Error }) => void this.loopFailures.push(error),
  };
}

/** Measures what it is told to have measured. */
const meter: { tell(span: SampleSpan): Promise<DemandSample[]>; sample: DemandSampler['sample'] } = {
  tell: async () => [],
  sample: (span) => meter.tell(span),
};

/** Does not answer, until the test ends. */
let silence = Promise.withResolvers<DemandSample[]>();
const silent: DemandSampler = { sample: () => silence.promise };

/** A source in this process that is told what it gives; it gives a batch again until it is taken. */
class RecordQueue implements RecordSource {
  static current: RecordQueue;
  started = false;
  closed = false;
  constructor(private readonly options: RecordSourceOptions) {
    RecordQueue.current = this;
  }
  start(): void {
    this.started = true;
  }
  waiting(): number {
    return 3;
  }
  async close(): Promise<void> {
    this.closed = true;
  }
  async give(records: SourceRecord[]): Promise<void> {
    for (;;) {
      try {
        await this.options.take(records);
        return this.options.observer.taken(records.length);
      } catch (error) {
        this.options.observer.notTaken({ error: error as Error, retryInMs: 0, records: records.length });
      }
    }
  }
}

let dataDir: string;
let store: EmbeddedStore;
let log: EmbeddedEventLog;
let app: NestFastifyApplication;
let base: string;
let witness: Witness;
let groupFailures: Error[];
let nowMs: () => number = Date.now;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-ingest-'));
  store = await openEmbeddedStore({ dataDir });
}, 60_000);
afterAll(async () => {
  await store.close();
  rmSync(dataDir, { recursive: true });
});
beforeEach(async () => {
  await store.engine.query('drop table if exists log_chunks, log_offsets, log_topics');
  await store.engine.query(
    'truncate policies, demand, demand_chains, demand_series, history_claims, projection_offsets',
  );
  witness = new Witness();
  groupFailures = [];
  await start();
}, 30_000);
afterEach(() => stop());

async function start(): Promise<void> {
  log = await EmbeddedEventLog.open(store.engine, { housekeepingMs: 0, fetchLingerMs: 1 });
  await log.ensureTopics(topicSpecs({ partitions: PARTITIONS, ...settings }));
  const others = ['platform.jobs', 'platform.events'];
  const topic = { partitions: PARTITIONS, retentionMs: 3_600_000, compacted: false };
  await log.ensureTopics(others.map((name) => ({ ...topic, name })));
  const { dataSource } = store;
  const module = IngestModule.register({
    log,
    stores: { policies: new PolicyStore(dataSource), demand: new DemandStore(dataSource) },
    observer: witness,
    ...settings,
    nowMs: () => nowMs(),
    pools: new Map([
      ['web', web],
      ['measured', web],
    ]),
    defaults,
    mappings: new Map([['jobs', jobs]]),
    deadLetters: { payload: 'keep', maxPayloadBytes: MAX_EVENT_BYTES },
    sources: {
      topics: [
        { topic: 'platform.jobs', mapping: jobs },
        { topic: 'platform.events', mapping: undefined },
      ],
      records: [{ name: 'queue', mapping: jobs, open: (options) => new RecordQueue(options) }],
      sampled: [
        { source: 'silent', pool: 'measured', sampler: silent, delayS: 1 },
        { source: 'meter', pool: 'measured', sampler: meter, delayS: 1 },
      ],
    },
  });
  const adapter = apiAdapter({ bodyLimitBytes: 1_048_576 });
  app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    bodyParser: false,
    logger: false,
  });
  configureApi(app, {
    routes: [
      ...EVENT_ROUTES,
      ...WEBHOOK_ROUTES,
      ...Object.values(HISTORY_ROUTES),
      ...Object.values(DEAD_LETTER_ROUTES),
    ],
    verify: async () => ({
      ok: true,
      scopes: ['events:write', 'dead-letters:read', 'dead-letters:replay'],
      subject: 'test',
    }),
    onUnexpected: ({ error }) => void groupFailures.push(error as Error),
  });
  const strategy = new EventLogServer(log, {
    groupFailed: ({ error }) => void groupFailures.push(error),
    batchHandled: () => undefined,
    recordsLost: () => undefined,
  });
  const service = app.connectMicroservice<MicroserviceOptions>({ strategy }, { inheritAppConfig: false });
  service.useGlobalFilters(new HandlerErrors());
  await app.startAllMicroservices();
  await app.listen(0, '127.0.0.1');
  base = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}

async function stop(): Promise<void> {
  silence.resolve([]);
  silence = Promise.withResolvers();
  await app.close();
  expect(RecordQueue.current.closed).toBe(true);
  await log.close();
}

let nextId = 1;
function event(phase: string, given: { id?: string; pool?: string; agoMs?: number } = {}) {
  const { id = `e${nextId++}`, pool = 'web', agoMs = 1000 } = given;
  const queuedAtMs = Date.now() - agoMs;
  const times = phase === 'queued' ? {} : { startedAtMs: queuedAtMs + 10 };
  const end = phase === 'completed' ? { endedAtMs: queuedAtMs + 30 } : {};
  return {
    specversion: '1.0',
    id: `${id}/${phase}`,
    source: 'spec',
    type: `com.headroom.execution.${phase}.v1`,
    subject: id,
    data: { pool, queuedAtMs, ...times, ...end },
  };
}

async function post(
  body: unknown,
  type = 'application/json',
  more: { path?: string; headers?: object } = {},
) {
  const reply = await fetch(`${base}${more.path ?? '/v1/events'}`, {
    method: 'POST',
    headers: { authorization: 'Bearer any', 'content-type': type, ...more.headers },
    body: JSON.stringify(body),
  });
  return {
    status: reply.status,
    headers: reply.headers,
    body: (await reply.json()) as Record<string, unknown>,
  };
}

const demand = () => new DemandStore(store.dataSource);
const bucketsOf = async (pool: string) => {
  const sql = 'select bucket from demand where pool = $1 order by start_ms';
  const rows = await store.dataSource.query<{ bucket: string }[]>(sql, [pool]);
  return rows.map(({ bucket }) => JSON.parse(bucket) as Bucket);
};
const totalArrivals = async (pool: string) =>
  (await bucketsOf(pool)).reduce((total, { arrivals }) => total + arrivals, 0);
const recordsOf = async (topic: string): Promise<StoredRecord[]> => {
  const read = (partition: number) => log.read({ topic, partition, offset: 0, maxRecords: 10_000 });
  return (await Promise.all(Array.from({ length: log.partitions(topic) }, (_, i) => read(i)))).flat();
};

const letters = async (): Promise<StoredLetter[]> =>
  (await recordsOf(TOPICS.deadLetters)).map((record) => letterOf(0, record));

/** Resolves once all that was appended is counted, and all that was counted is in the table. */
async function settled(): Promise<void> {
  const met = Promise.withResolvers<void>();
  const look = async (): Promise<void> => {
    const { records } = await log.lag({ group: 'ingest', topic: TOPICS.executions });
    const { offsets: included } = await demand().standing();
    const ends = await Promise.all(
      Array.from({ length: PARTITIONS }, (_, partition) =>
        log.endOffset({ topic: TOPICS.demand, partition }),
      ),
    );
    const behind = ends.some(
      (end, partition) => end > (included.find((o) => o.partition === partition)?.nextOffset ?? 0),
    );
    if (records === 0 && !behind) met.resolve();
  };
  // What is awaited is a state of the log and the store, which tell nobody when they reach it.
  const timer = setInterval(() => void look().catch(met.reject), 20);
  await met.promise.finally(() => clearInterval(timer));
}

test('events of every kind: each execution counts once, each refusal is answered and kept', async () => {
  const one = event('queued');
  expect(await post(one, 'application/cloudevents+json')).toMatchObject({
    status: 202,
    body: { accepted: 1, refused: [] },
  });
  const batch = [
    one, // sent again
    event('completed', { id: one.subject }),
    event('started'),
    { ...event('queued'), type: 'com.headroom.execution.queued.v2' },
    { ...event('queued'), data: { pool: 'web', queuedAtMs: null } },
    { ...event('queued'), note: 'x'.repeat(MAX_EVENT_BYTES) },
    7,
    event('queued', { agoMs: -3_600_000 }),
    event('queued', { agoMs: 2 * 3_600_000 }),
  ];
  const answer = await post(batch, 'application/cloudevents-batch+json');
  expect(answer).toMatchObject({
    status: 202,
    body: {
      accepted: 5,
      refused: [
        { index: 3, reason: 'unknown_version', detail: 'version 1, got 2' },
        { index: 4, reason: 'invalid' },
        { index: 5, reason: 'oversized' },
        { index: 6, reason: 'unknown_type' },
      ],
    },
  });
  await settled();
  expect(await totalArrivals('web')).toBe(2);
  const buckets = await bucketsOf('web');
  const sum = (name: 'starts' | 'completions') => buckets.reduce((total, bucket) => total + bucket[name], 0);
  expect([sum('starts'), sum('completions')]).toEqual([2, 1]);
  const { chains } = await demand().standing();
  expect(chains.reduce((total, { inFlight }) => total + inFlight, 0)).toBe(1);
  const reasons = (await letters()).map(({ reason }) => reason).sort();
  expect(reasons).toEqual(['future', 'invalid', 'oversized', 'too_old', 'unknown_type', 'unknown_version']);
  expect(witness.received).toEqual({
    accepted: 6,
    unknown_version: 1,
    invalid: 1,
    oversized: 1,
    unknown_type: 1,
  });
  const told = witness.batches.reduce(
    (total, { counts, deadLetters }) => ({
      duplicates: total.duplicates + counts.duplicates,
      future: total.future + (deadLetters.future ?? 0),
    }),
    { duplicates: 0, future: 0 },
  );
  expect(told).toEqual({ duplicates: 1, future: 1 });
});

test('poison in the log itself does not stop its partition and is kept as it came', async () => {
  const good = event('queued');
  await log.append(TOPICS.executions, [
    { key: 'k', value: '{"half":', partition: 0 },
    { key: 'k', value: null, partition: 0 },
    { key: good.subject, value: JSON.stringify(good), partition: 0 },
  ]);
  await settled();
  expect(await totalArrivals('web')).toBe(1);
  const [first] = await letters();
  expect(first).toMatchObject({
    key: 'k',
    payload: { text: '{"half":', state: 'kept' },
    reason: 'malformed_json',
    source: 'executions.v1[0]@0',
  });
});

test('stopped and started in the middle of everything, the totals are those of the sent events', async () => {
  const ids = Array.from({ length: 450 }, (_, i) => `r${i}`);
  const send = async (phase: string, among: string[]) =>
    expect(await post(among.map((id) => event(phase, { id })))).toMatchObject({ status: 202 });
  await send('queued', ids);
  await stop(); // whatever was counted by now is committed, the rest is not
  await start();
  await send('queued', ids.slice(0, 300)); // not acknowledged as far as the sender knows
  await settled();
  await stop();
  await start();
  await send('completed', ids);
  await send('started', ids.slice(100));
  await settled();
  expect(witness.replayed).toBeGreaterThan(0);
  expect(await totalArrivals('web')).toBe(ids.length);
  const { chains } = await demand().standing();
  expect(chains.map(({ backlog, inFlight }) => [backlog, inFlight])).toEqual([
    [0, 0],
    [0, 0],
  ]);
  expect(witness.partials.every(({ outcome }) => outcome === 'applied')).toBe(true);
  expect(groupFailures).toEqual([]);
});

test('a commit that fails loses nothing: the partition is restored and the batch counted again', async () => {
  await post(event('queued'));
  await settled();
  // As on a full disk: nothing can be inserted until the table is back.
  await store.engine.query('alter table log_offsets rename to log_offsets_away');
  await post([event('queued'), event('queued'), event('queued')]);
  const failed = Promise.withResolvers<void>();
  const watch = setInterval(() => groupFailures.length > 0 && failed.resolve(), 5);
  await failed.promise;
  clearInterval(watch);
  await store.engine.query('alter table log_offsets_away rename to log_offsets');
  await settled();
  expect(await totalArrivals('web')).toBe(4);
});

test('a batch that the log cannot unpack is one dead letter that cannot be replayed, and is counted', () => {
  const unreadable = 'records 3 to 7: must be compressed by gzip or zstd, or not at all, got snappy';
  const record = {
    key: '',
    value: '',
    headers: {},
    offset: 7,
    timestampMs: Date.now(),
    isPart: true,
  } as const;
  const at = { topic: TOPICS.executions, partition: 0 };
  const records = [{ ...record, unreadable }];
  const { step, report } = app.get(PartitionCounting).count({ ...at, from: 0, records, endOffset: 8 });
  const written = step.outputs.find(({ topic }) => topic === TOPICS.deadLetters)?.records ?? [];
  expect(written.map(({ headers }) => headers)).toMatchObject([
    { 'headroom-reason': 'unreadable', 'headroom-detail': unreadable, 'headroom-payload': 'cut' },
  ]);
  expect(step.offsets).toEqual([{ ...at, offset: 8 }]);
  expect(report.deadLetters).toEqual({ unreadable: 1 });
});

describe('whoever takes a partition over', () => {
  const at = { topic: TOPICS.executions, partition: 0 };
  const goOn = () => undefined;
  /** Of a process that shares nothing with the running one but the log. */
  const another = () =>
    new PartitionCounting(log, app.get(PoolRegistry), ingestSettings(settings), { keep: 'all' } as never);
  const batchFrom = (from: number) => ({
    ...at,
    from,
    records: [{ key: '', value: '', headers: {}, offset: from, timestampMs: Date.now() }],
    endOffset: from + 1,
  });

  test('counts what follows on what it has restored, and nothing else', async () => {
    const counting = another();
    const { offset } = await counting.restore(at, goOn);
    expect(() => counting.count(batchFrom(offset + 1))).toThrow(/must be restored up to/);
    const { committed } = counting.count(batchFrom(offset));
    expect(() => counting.count(batchFrom(offset + 1))).toThrow(/must be restored up to/);
    committed();
    expect(counting.count(batchFrom(offset + 1)).report.records).toBe(1);
  });

  test('keeps what it has restored, when a restore of before ends late', async () => {
    const counting = another();
    const [isAsked, mayAnswer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const offsetAtTime = log.offsetAtTime.bind(log);
    log.offsetAtTime = async (asked) => {
      isAsked.resolve();
      await mayAnswer.promise;
      return offsetAtTime(asked);
    };
    const late = counting.restore(at, goOn);
    await isAsked.promise;
    log.offsetAtTime = offsetAtTime;
    const { offset } = await counting.restore(at, goOn);
    counting.count(batchFrom(offset)).committed();
    mayAnswer.resolve();
    await expect(late).rejects.toThrow(/must be kept while it is restored/);
    expect(counting.count(batchFrom(offset + 1)).report.records).toBe(1);
  });

  test('forgets a restore that ends when the partition is lost', async () => {
    const counting = another();
    const late = counting.restore(at, goOn);
    counting.forget([at]);
    await expect(late).rejects.toThrow(/must be kept while it is restored/);
    expect(() => counting.count(batchFrom(0))).toThrow(/must be restored up to/);
  });

  test('does not pass over state that cannot be read', async () => {
    const read = log.read.bind(log);
    const unreadable = 'records 0 to 3: must be compressed by gzip or zstd, got lz4';
    const lost = { key: '', value: '', headers: {}, offset: 3, timestampMs: 1, unreadable };
    log.read = async (from) => (from.topic === TOPICS.ingestState && from.offset === 0 ? [lost] : read(from));
    await expect(another().restore(at, goOn)).rejects.toThrow(/must be readable, got records 0 to 3/);
    log.read = read;
  });
});

test('pools are created in mode observe up to maxPools; one more is dead-lettered until there is room', async () => {
  await post([event('queued', { pool: 'a' })]);
  await post([event('queued', { pool: 'b' })]);
  await settled();
  await post([event('queued', { pool: 'c' })]);
  await settled();
  const policies = new PolicyStore(store.dataSource);
  expect((await policies.get('web'))?.policy.mode).toBe('reactive');
  expect((await policies.get('a'))?.policy.mode).toBe('observe');
  expect(await policies.get('c')).toBeNull();
  expect(witness.created.sort()).toEqual(['a', 'b', 'measured', 'web']);
  expect(await letters()).toMatchObject([{ reason: 'too_many_pools' }]);
  // An operator who writes the policy lets the pool in.
  await policies.create({ pool: 'c', policy: defaults.policy, nowMs: 1 });
  await app.get(PoolRegistry).refresh();
  await post([event('queued', { pool: 'c' })]);
  await settled();
  expect(await totalArrivals('c')).toBe(1);
});

test('places that others have taken meanwhile are taken: whoever counted on one counts again', async () => {
  const policies = new PolicyStore(store.dataSource);
  for (const pool of ['x', 'y']) await policies.create({ pool, policy: defaults.policy, nowMs: 1 });
  // Nobody has told this process; the store knows better.
  const executions = Array.from({ length: 40 }, () => [event('queued'), event('queued', { pool: 'late' })]);
  await post(executions.flat());
  await post([event('queued', { pool: 'x' }), event('queued')]);
  await settled();
  expect((await letters()).map(({ reason }) => reason)).toEqual(Array(40).fill('too_many_pools'));
  const totals = ['web', 'x', 'late'].map((pool) => totalArrivals(pool));
  expect(await Promise.all(totals)).toEqual([41, 1, 0]);
  expect((await policies.page({ limit: 9 })).map(({ pool }) => pool)).toEqual(['measured', 'web', 'x', 'y']);
  expect(witness.partials.filter(({ outcome }) => outcome === 'gap')).toEqual([]);
  expect(groupFailures).toEqual([]);
});

test('a deleted policy stays deleted, over a restart too, and gives its place back', async () => {
  await post([event('queued', { pool: 'junk1' }), event('queued', { pool: 'junk2' })]);
  await settled();
  const policies = new PolicyStore(store.dataSource);
  for (const pool of ['junk1', 'junk2']) {
    const { version, updatedAtMs } = (await policies.get(pool)) as PolicyRow;
    expect(await policies.delete({ pool, seen: { version, updatedAtMs } })).toBe('deleted');
  }
  await app.get(PoolRegistry).refresh();
  await post([event('queued', { pool: 'real' })]);
  await settled();
  expect(await totalArrivals('real')).toBe(1);
  await stop();
  await start();
  await post([event('queued', { pool: 'real' })]);
  await settled();
  expect((await policies.pools()).toSorted()).toEqual(['measured', 'real', 'web']);
  // A pool that is used again is a pool first seen.
  await post([event('queued', { pool: 'junk1' })]);
  await settled();
  expect((await policies.get('junk1'))?.policy.mode).toBe('observe');
  expect(await totalArrivals('junk1')).toBe(2);
});

test('the demand table leaves out what is no partial, alarms at a gap, and drops what it has seen', async () => {
  await post(event('queued'));
  await settled();
  const [real] = await recordsOf(TOPICS.demand);
  const partial = JSON.parse(real?.value as string) as DemandPartial;
  const range = { ...partial.range, from: partial.range.to + 5, to: partial.range.to + 6 };
  await log.append(TOPICS.demand, [
    { key: 'web', value: 'no partial' },
    { key: 'web', value: '{"v":2}' },
    { key: 'web', value: JSON.stringify(partial) },
    { key: 'web', value: JSON.stringify({ ...partial, range }) },
  ]);
  await settled();
  expect(witness.unreadable).toBe(2);
  expect(witness.partials.map(({ outcome }) => outcome)).toEqual(['applied', 'seen', 'gap']);
  expect(await totalArrivals('web')).toBe(2);
  expect((await bucketsOf('web')).length).toBe(1);
});

test('too many events, or none, are refused as a whole; a log that cannot write says when to come again', async () => {
  expect(await post([])).toMatchObject({ status: 422 });
  expect(await post(Array(MAX_EVENTS_PER_REQUEST + 1).fill(1))).toMatchObject({ status: 422 });
  const append = log.append.bind(log);
  for (const [error, seconds] of [
    [new LogOverloaded('full'), '1'],
    [new Error('could not extend file: No space left on device'), '10'],
  ] as const) {
    log.append = () => Promise.reject(error);
    const reply = await post(event('queued'));
    expect([reply.status, reply.headers.get('retry-after')]).toEqual([503, seconds]);
    log.append = append;
  }
  expect(witness.failures).toHaveLength(2);
  expect(witness.received).toEqual({ overloaded: 1, unavailable: 1 });
  expect(await post(event('queued'))).toMatchObject({ status: 202 });
});

test('an event in binary mode has its attributes in headers; a structured one keeps its own', async () => {
  const { data, ...attributes } = event('completed', { id: 'büro 1' });
  const headers = Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [`ce-${name}`, encodeURIComponent(value)]),
  );
  const binary = (body: unknown, type?: string) => post(body, type, { headers });
  expect(await binary(data)).toMatchObject({ status: 202, body: { accepted: 1, refused: [] } });
  expect(await binary([data, data])).toMatchObject({
    body: { accepted: 0, refused: [{ reason: 'invalid' }] },
  });
  const other = event('completed');
  expect(await binary(other, 'application/cloudevents+json')).toMatchObject({ body: { accepted: 1 } });
  await settled();
  const records = await recordsOf(TOPICS.executions);
  expect(records.map(({ key }) => key).toSorted()).toEqual(['büro 1', other.subject].toSorted());
  expect(await totalArrivals('web')).toBe(2);
});

test('events that others wrote to the topic in binary mode count', async () => {
  const { data, ...attributes } = event('completed');
  const headers = Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value]),
  );
  await log.append(TOPICS.executions, [
    { key: attributes.subject, value: JSON.stringify(data), headers },
    { key: 'b', value: '{', headers },
  ]);
  await settled();
  expect(await totalArrivals('web')).toBe(1);
  expect(await letters()).toMatchObject([
    { reason: 'malformed_json', headers: { ce_subject: attributes.subject } },
  ]);
});

describe('webhooks', () => {
  const hook = (body: unknown, mapping = 'jobs') =>
    post(body, undefined, { path: `/v1/webhooks/${mapping}` });
  const run = (id: number, more: object = {}) => ({ id, state: 'ok', at: Date.now() - 500, ...more });

  test('of each record, and each element of it, the answer says what became of it; what is good counts once', async () => {
    const good = {
      runs: [run(1), run(2, { manual: true }), run(3, { at: 'soon' }), run(4, { state: 'no' })],
    };
    expect(await hook([good, { runs: [run(5)] }, { runs: 'none' }])).toEqual({
      status: 202,
      headers: expect.anything(),
      body: {
        accepted: 2,
        ignored: 1,
        refused: 3,
        records: [
          { index: 0, element: 0, outcome: 'accepted' },
          { index: 0, element: 1, outcome: 'ignored', why: 'by hand' },
          { index: 0, element: 2, outcome: 'refused', reason: 'unreadable_time', detail: expect.any(String) },
          { index: 0, element: 3, outcome: 'refused', reason: 'unknown_status', detail: expect.any(String) },
          { index: 1, outcome: 'accepted' },
          { index: 2, outcome: 'refused', reason: 'missing', detail: expect.any(String) },
        ],
      },
    });
    expect(await hook({ runs: [run(1), run(5)] })).toMatchObject({ body: { accepted: 2 } });
    await settled();
    expect(await totalArrivals('web')).toBe(2);
    expect(witness.mapped).toEqual({
      'jobs mapped': 4,
      'jobs ignored': 1,
      'jobs unreadable_time': 1,
      'jobs unknown_status': 1,
      'jobs missing': 1,
    });
  });

  test('a record with refused elements is one dead letter that says where it came from', async () => {
    const record = { runs: [run(1), run(2, { at: 'soon' }), run(3, { state: 'no' })] };
    await hook(record);
    expect(await letters()).toMatchObject([
      {
        reason: 'unreadable_time',
        detail: expect.stringMatching(/^\[1\] times\.endedAt: .*, and 1 more of its elements$/),
        source: 'POST /v1/webhooks/jobs',
        mapping: 'jobs',
        elements: { refused: [1, 2], of: 3 },
        payload: { text: JSON.stringify(record) },
      },
    ]);
  });

  test('an unknown mapping, no record, too many records and too many elements are problems', async () => {
    expect(await hook({ runs: [] }, 'jobz')).toMatchObject({
      status: 404,
      body: { type: 'urn:headroom:unknown-mapping', detail: 'mapping: must be known, got jobz' },
    });
    expect(await hook([])).toMatchObject({ status: 422 });
    expect(await hook(Array(MAX_EVENTS_PER_REQUEST + 1).fill(1))).toMatchObject({ status: 422 });
    const many = { runs: Array(600).fill(7) };
    expect(await hook([many, many])).toMatchObject({ status: 422 });
    expect(await recordsOf(TOPICS.deadLetters)).toEqual([]);
  });

  test('a deep record is refused alone, and a log that cannot write says when to come again', async () => {
    let deep: unknown = [];
    for (let i = 0; i < 2_000; i++) deep = [deep];
    expect(await hook([{ runs: [run(1)] }, { runs: { deep } }])).toMatchObject({
      body: { accepted: 1, refused: 1 },
    });
    const append = log.append.bind(log);
    log.append = () => Promise.reject(new LogOverloaded('full'));
    expect(await hook({ runs: [run(2)] })).toMatchObject({ status: 503 });
    log.append = append;
    expect(witness.mapped).toMatchObject({ 'jobs mapped': 1, 'jobs overloaded': 1 });
  });
});

test('records of a source are taken when they are durable, and count once however often they come', async () => {
  const run = (id: number, more: object = {}) => ({ id, state: 'ok', at: Date.now() - 500, ...more });
  const recordOf = (record: object, i: number) => ({
    text: JSON.stringify(record),
    about: {},
    place: `queue ${i}`,
  });
  const records = [{ runs: [run(1), run(2)] }, { runs: [run(3), run(4, { at: 'soon' })] }].map(recordOf);
  const source = RecordQueue.current;
  expect([source.started, app.get(RecordSources).waiting()]).toEqual([
    true,
    [{ source: 'queue', records: 3 }],
  ]);
  const append = log.append.bind(log);
  // The events are written, their dead letters are not: all of it comes again.
  log.append = (topic, all) =>
    topic === TOPICS.deadLetters ? Promise.reject(new Error('full')) : append(topic, all);
  const given = source.give(records);
  while (witness.notTaken === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(witness.taken).toBe(0);
  log.append = append;
  await given;
  await settled();
  expect(await totalArrivals('web')).toBe(3);
  expect(witness).toMatchObject({ taken: 2, mapped: { 'jobs mapped': 3, 'jobs unreadable_time': 1 } });
  expect(await letters()).toMatchObject([{ source: 'queue 1', mapping: 'jobs' }]);
});

describe('a pool that another system measures', () => {
  const S = 1000;
  /** So much faster do buckets and pauses pass; it is asked for once a second all the same. */
  const SPEED = 10;
  const measured = () => bucketsOf('measured');
  const startsOf = (span: SampleSpan) =>
    Array.from(
      { length: (span.toMs - span.fromMs) / (span.bucketS * S) },
      (_, i) => span.fromMs + i * span.bucketS * S,
    );
  beforeEach(() => {
    const startMs = Date.now();
    nowMs = () => startMs + SPEED * (Date.now() - startMs);
  });
  afterEach(() => {
    meter.tell = async () => [];
    nowMs = Date.now;
  });
  const until = async (condition: () => boolean | Promise<boolean>) => {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
  };

  test('has each bucket once, and those that passed while nobody answered', async () => {
    const asked: SampleSpan[] = [];
    let fails = true;
    meter.tell = async (span) => {
      if (asked.push(span) > 1 && fails) throw new Error('nobody answers');
      return startsOf(span).map((startMs) => ({ startMs, arrivals: 2.5, backlog: 3 }));
    };
    await until(() => witness.sampleErrors.length > 0);
    fails = false;
    await until(() => asked.length > 3);
    await until(async () => (await measured()).length > 5);
    meter.tell = async () => [];
    await settled();
    const buckets = await measured();
    const starts = buckets.map(({ startMs }) => startMs);
    expect(starts).toEqual(starts.map((_, i) => starts[0]! + i * S));
    expect(buckets.map(({ arrivals }) => arrivals).slice(0, 4)).toEqual([2, 3, 2, 3]);
    expect(witness.sampleErrors).toContain('nobody answers');
    const { chains } = await demand().standing();
    expect(chains).toMatchObject([{ pool: 'measured', backlog: 3, nextOffset: starts.at(-1)! + S }]);
    expect(witness.partials.every(({ outcome }) => outcome !== 'gap')).toBe(true);
  }, 30_000);

  test('catches up in records of a bounded size, however long it was away', async () => {
    // From a tenth of a millisecond to an hour: sketches as wide as they get.
    const service = Array.from({ length: 18 }, (_, i) => ({ valueMs: 0.1 * 3 ** i, count: 1 }));
    meter.tell = async (span) => startsOf(span).map((startMs) => ({ startMs, arrivals: 1, service }));
    await until(async () => (await measured()).length > 1);
    const [jumpMs, fromMs] = [nowMs() + 480 * S, Date.now()];
    nowMs = () => jumpMs + SPEED * (Date.now() - fromMs);
    await until(async () => witness.sampleErrors.length > 0 || (await measured()).length > 480);
    expect(witness.sampleErrors).toEqual([]);
    const values = (await recordsOf(TOPICS.demand)).map(({ value }) => value?.length ?? 0);
    expect(values.reduce((sum, chars) => sum + chars, 0)).toBeGreaterThan(1_048_576);
    expect(Math.max(...values)).toBeLessThan(524_288);
  }, 30_000);

  test('goes on after a restart where it stood; what nobody knows yet is not taken for nothing', async () => {
    meter.tell = async (span) => startsOf(span).map((startMs) => ({ startMs, arrivals: 1 }));
    await until(async () => (await measured()).length > 1);
    // Of the last buckets it knows nothing, whatever it is asked.
    const knownToMs = nowMs() - 500;
    meter.tell = async (span) =>
      startsOf(span)
        .filter((startMs) => startMs + S <= knownToMs)
        .map((startMs) => ({ startMs, arrivals: 1 }));
    await stop();
    await start();
    const before = witness.asked;
    await until(() => witness.asked > before + 2);
    await settled();
    const buckets = await measured();
    expect(buckets.at(-1)!.startMs + S).toBeLessThanOrEqual(knownToMs);
    const [chain] = (await demand().standing()).chains;
    expect(chain?.nextOffset).toBe(buckets.at(-1)!.startMs + S);
    meter.tell = async (span) => startsOf(span).map((startMs) => ({ startMs, arrivals: 1 }));
    await until(async () => (await measured()).at(-1)!.startMs > knownToMs);
    const starts = (await measured()).map(({ startMs }) => startMs);
    expect(starts).toEqual(starts.map((_, i) => starts[0]! + i * S));
  }, 30_000);
});

describe('the past of a pool', () => {
  const S = 1000;
  /** Some hours ago, in whole buckets of the pool web. */
  const past = (s: number) => (Math.floor(Date.now() / S) - 10_000 + s) * S;
  const path = '/v1/pools/web/history';
  const buckets = (at: number, arrivals: number[]) =>
    arrivals.map((count, i) => ({ startMs: at + i * S, arrivals: count }));
  const bring = (body: object, of = path) => post({ name: 'csv', ...body }, undefined, { path: of });
  const standing = async () => {
    const reply = await fetch(`${base}${path}?name=csv`, { headers: { authorization: 'Bearer any' } });
    return (await reply.json()) as Record<'bucketS' | 'fromMs' | 'toMs', number> & {
      includedToMs: number | null;
    };
  };

  test('comes in piece by piece, each once, and ends with a word to who learns from it', async () => {
    await post(event('completed'));
    await settled();
    const before = await standing();
    expect(before).toMatchObject({ bucketS: 1, includedToMs: null });
    const [counted] = await bucketsOf('web');
    expect(before.toMs).toBe(counted?.startMs);
    const keptFromMs = Date.now() - keptS(web, settings) * S;
    expect(before.fromMs).toBeGreaterThan(keptFromMs - 60 * S);
    expect(before.fromMs).toBeLessThanOrEqual(keptFromMs + S);
    const at = past(0);
    const first = { fromMs: at, toMs: at + 5 * S, buckets: buckets(at, [3, 0, 4]) };
    const second = {
      fromMs: at + 5 * S,
      toMs: at + 9 * S,
      buckets: buckets(at + 5 * S, [5]),
      isLast: true,
    };
    expect(await bring(first)).toMatchObject({ status: 200, body: { includedToMs: at + 5 * S } });
    expect(await bring(first)).toMatchObject({ status: 200, body: { includedToMs: at + 5 * S } });
    expect(await bring(second)).toMatchObject({ status: 200, body: { includedToMs: at + 9 * S } });
    expect(await standing()).toMatchObject({ toMs: before.toMs, includedToMs: at + 9 * S });
    expect(await totalArrivals('web')).toBe(1 + 12);
    const records = (await recordsOf(TOPICS.demand)).map(
      ({ value }) => JSON.parse(value as string) as DemandPartial,
    );
    expect(records.map(({ history }) => history === true)).toEqual([false, false, false, true]);
    await settled();
    expect(witness.partials.every(({ outcome }) => outcome === 'applied')).toBe(true);
    // What has been brought in may be told to be the last at any time.
    expect(await bring({ ...first, buckets: [], isLast: true })).toMatchObject({ status: 200 });
    expect(await totalArrivals('web')).toBe(1 + 12);
    expect(witness.histories).toEqual(['included', 'included', 'included', 'included']);
  });

  test('as many buckets as a piece may have are one message', async () => {
    const at = past(0);
    const all = buckets(
      at,
      Array.from({ length: MAX_HISTORY_BUCKETS }, () => 1e9),
    );
    const toMs = at + MAX_HISTORY_BUCKETS * S;
    expect(await bring({ fromMs: at, toMs, buckets: all })).toMatchObject({ status: 200 });
    expect(await totalArrivals('web')).toBe(MAX_HISTORY_BUCKETS * 1e9);
    const [record, ...others] = await recordsOf(TOPICS.demand);
    expect(others).toEqual([]);
    expect(record?.value?.length).toBeLessThan(500_000);
  }, 30_000);

  test('ends where other demand begins, events and other histories alike, and is not older than what is kept', async () => {
    const at = past(0);
    const piece = { fromMs: at, toMs: at + 5 * S, buckets: buckets(at, [1]) };
    expect(await bring({ ...piece, name: 'other' })).toMatchObject({ status: 200 });
    await post(event('completed'));
    await settled();
    const { fromMs } = await standing();
    // An execution may begin in one bucket and end in the next.
    const counted = (await bucketsOf('web')).find(({ startMs }) => startMs >= at + 5 * S);
    const end = counted!.startMs;
    const outside = [
      { fromMs: at, toMs: at + 2 * S },
      { fromMs: at - S, toMs: at + S },
      { fromMs: fromMs - 7_200 * S, toMs: at },
    ];
    for (const span of outside)
      expect(await bring({ ...span, buckets: [] })).toMatchObject({
        status: 409,
        body: { type: 'urn:headroom:history-outside' },
      });
    const beyond = { name: 'other', fromMs: at + 5 * S, toMs: end + S, buckets: buckets(end, [7]) };
    expect(await bring(beyond)).toMatchObject({ status: 409 });
    expect(await bring({ ...beyond, toMs: end, buckets: [] })).toMatchObject({ status: 200 });
    expect(await bring({ fromMs: at - S, toMs: at, buckets: buckets(at - S, [1]) })).toMatchObject({
      status: 200,
    });
    expect(await totalArrivals('web')).toBe(3);
    const ahead = Math.ceil((Date.now() + 60 * S) / 10_000) * 10_000;
    await new PolicyStore(store.dataSource).create({ pool: 'idle', policy: defaults.policy, nowMs: 1 });
    const future = { fromMs: ahead - 10 * S, toMs: ahead, buckets: [] };
    expect(await bring(future, '/v1/pools/idle/history')).toMatchObject({ status: 409 });
    expect(new Set(witness.histories)).toEqual(new Set(['included', 'outside']));
  });

  test('begins where the buckets of the pool got their length', async () => {
    const at = past(0);
    const begin = (bucketS: number) =>
      store.engine.query(
        `insert into demand_series values ('web', ${bucketS}, ${at})
         on conflict (pool) do update set bucket_s = excluded.bucket_s`,
      );
    await begin(1);
    expect((await standing()).fromMs).toBe(at);
    const early = { fromMs: at - S, toMs: at + S, buckets: buckets(at, [1]) };
    expect(await bring(early)).toMatchObject({
      status: 409,
      body: { type: 'urn:headroom:history-outside' },
    });
    expect(await bring({ ...early, fromMs: at })).toMatchObject({ status: 200 });
    await begin(10);
    const { fromMs, toMs } = await standing();
    expect(fromMs).toBe(toMs);
  });

  test('of two that come at once the second sees the first', async () => {
    const at = past(0);
    const piece = { fromMs: at, toMs: at + 5 * S, buckets: buckets(at, [1, 1]) };
    const names = Array.from({ length: 6 }, (_, i) => `history ${i}`);
    const taken = await Promise.all(names.map((name) => bring({ ...piece, name })));
    expect(taken.map(({ status }) => status).toSorted()).toEqual([200, 409, 409, 409, 409, 409]);
    expect(await totalArrivals('web')).toBe(2);
    // Of one name both may have been written: the log has a first one.
    const other = { name: 'other', fromMs: at - 9 * S, toMs: at - 4 * S, buckets: buckets(at - 9 * S, [1]) };
    const same = await Promise.all([bring(other), bring(other)]);
    expect(same.map(({ status }) => status)).toEqual([200, 200]);
    expect(await totalArrivals('web')).toBe(3);
  });

  test('waits for one that was let in, unless that has ended long ago without writing anything', async () => {
    const at = past(0);
    const piece = { fromMs: at, toMs: at + 5 * S, buckets: buckets(at, [1]) };
    const partition = historyPartition('another');
    await demand().claimHistory({ pool: 'web', partition, toMs: at + S }, undefined);
    const looked = Promise.withResolvers<void>();
    const look = DemandStore.prototype.poolStanding;
    let looks = 0;
    DemandStore.prototype.poolStanding = function (of) {
      if (++looks === 2) looked.resolve();
      return look.call(this, of);
    };
    const taken = bring(piece);
    await looked.promise;
    DemandStore.prototype.poolStanding = look;
    expect(await totalArrivals('web')).toBe(0);
    await store.engine.query(`update history_claims set claimed_at = claimed_at - interval '121 seconds'`);
    expect(await taken).toMatchObject({ status: 200 });
  });

  test('of one pool comes from few', async () => {
    await store.engine.query(
      `insert into demand_chains select 'web', ${2 ** 30} + i, 1, 0, 0 from generate_series(1, ${MAX_HISTORIES}) as i`,
    );
    const at = past(0);
    const piece = { fromMs: at, toMs: at + S, buckets: [] };
    expect(await bring(piece)).toMatchObject({
      status: 409,
      body: { type: 'urn:headroom:too-many-histories' },
    });
  });

  test('that cannot be written now is to be sent again', async () => {
    const at = past(0);
    const append = log.append.bind(log);
    log.append = () => Promise.reject(new LogOverloaded('full'));
    const piece = { fromMs: at, toMs: at + S, buckets: buckets(at, [1]), isLast: true };
    const refused = await bring(piece);
    expect(refused).toMatchObject({ status: 503, body: { type: 'urn:headroom:log-overloaded' } });
    expect(refused.headers.get('retry-after')).toBe('1');
    log.append = append;
    expect(await bring(piece)).toMatchObject({ status: 200 });
    expect(witness.histories).toEqual(['overloaded', 'included']);
  });

  test('what lies across what is in, is out of order, or is not of whole buckets is refused', async () => {
    const at = past(0);
    const piece = { fromMs: at, toMs: at + 5 * S, buckets: buckets(at, [1]) };
    await bring(piece);
    expect(await bring({ ...piece, fromMs: at + 4 * S, toMs: at + 8 * S, buckets: [] })).toMatchObject({
      status: 409,
      body: { type: 'urn:headroom:history-overlaps' },
    });
    const wrong = [
      { ...piece, toMs: at },
      { ...piece, toMs: at + 5 * S + 1 },
      { ...piece, buckets: buckets(at + 500, [1]) },
      { ...piece, buckets: [...buckets(at + S, [1]), ...buckets(at, [1])] },
      { ...piece, buckets: buckets(at + 5 * S, [1]) },
      { ...piece, buckets: [{ startMs: at, arrivals: 0.5 }] },
      {
        ...piece,
        buckets: Array.from({ length: MAX_HISTORY_BUCKETS + 1 }, () => ({ startMs: at, arrivals: 1 })),
      },
    ];
    for (const body of wrong) expect(await bring(body)).toMatchObject({ status: 422 });
    expect(await bring(piece, '/v1/pools/nobody/history')).toMatchObject({ status: 404 });
    expect(await totalArrivals('web')).toBe(1);
  });

  test('of a pool whose policy was made a moment ago is taken', async () => {
    await new PolicyStore(store.dataSource).create({ pool: 'fresh', policy: defaults.policy, nowMs: 1 });
    const at = Math.floor(past(0) / 10_000) * 10_000;
    const piece = { fromMs: at, toMs: at + 10 * S, buckets: buckets(at, [2]) };
    expect(await bring(piece, '/v1/pools/fresh/history')).toMatchObject({ status: 200 });
    expect(await totalArrivals('fresh')).toBe(2);
  });
});

describe('topics of other platforms', () => {
  const run = (id: number, more: object = {}) => ({ id, state: 'ok', at: Date.now() - 500, ...more });
  /** Resolves once everything in the topic was read; ingest may not have counted it yet. */
  async function mapped(topic: string): Promise<void> {
    const group = `mapped-${topic}`;
    const met = Promise.withResolvers<void>();
    const look = async () => (await log.lag({ group, topic })).records === 0 && met.resolve();
    const timer = setInterval(() => void look().catch(met.reject), 20);
    await met.promise.finally(() => clearInterval(timer));
    await settled();
  }

  test('are mapped, each record once; what cannot be is set aside with the place it was at', async () => {
    const records = [{ runs: [run(1), run(2)] }, { runs: [run(3, { at: 'soon' }), run(4)] }];
    await log.append('platform.jobs', [
      ...records.map((record, i) => ({ key: `k${i}`, value: JSON.stringify(record), partition: 1 })),
      { key: 'k', value: '{', partition: 1 },
      { key: 'k', value: null, partition: 1 },
    ]);
    await mapped('platform.jobs');
    expect(await totalArrivals('web')).toBe(3);
    expect(await letters()).toMatchObject([
      {
        reason: 'unreadable_time',
        source: 'platform.jobs[1]@1',
        mapping: 'jobs',
        key: 'k1',
        about: { topic: 'platform.jobs', partition: 1, offset: 1, timeMs: expect.any(Number) },
        payload: { text: JSON.stringify(records[1]) },
      },
      { reason: 'malformed_json', source: 'platform.jobs[1]@2', payload: { text: '{' } },
    ]);
    expect(witness.mapped).toEqual({ 'jobs mapped': 3, 'jobs unreadable_time': 1, 'jobs malformed_json': 1 });
  });

  test('without a mapping hold CloudEvents, structured or binary', async () => {
    const { data, ...attributes } = event('completed');
    const headers = Object.fromEntries(
      Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value]),
    );
    await log.append('platform.events', [
      { key: 'a', value: JSON.stringify(data), headers },
      { key: 'b', value: JSON.stringify(event('completed')) },
      { key: 'c', value: JSON.stringify({ type: 'com.example.other' }) },
    ]);
    await mapped('platform.events');
    expect(await totalArrivals('web')).toBe(2);
    expect(witness.mapped).toEqual({ 'none mapped': 2, 'none unknown_type': 1 });
  });

  test('a step that cannot be committed is done again, and what it holds counts once', async () => {
    await store.engine.query('alter table log_offsets rename to log_offsets_away');
    await log.append('platform.jobs', [{ key: 'k', value: JSON.stringify({ runs: [run(1), run(2)] }) }]);
    const failed = Promise.withResolvers<void>();
    const watch = setInterval(() => groupFailures.length > 0 && failed.resolve(), 5);
    await failed.promise;
    clearInterval(watch);
    await store.engine.query('alter table log_offsets_away rename to log_offsets');
    await mapped('platform.jobs');
    expect(await recordsOf(TOPICS.executions)).toHaveLength(2);
    expect(await totalArrivals('web')).toBe(2);
  });
});

describe('dead letters', () => {
  const ask = async <T>(path: string): Promise<{ status: number; body: T }> => {
    const reply = await fetch(`${base}/v1/dead-letters${path}`, { headers: { authorization: 'Bearer any' } });
    return { status: reply.status, body: (await reply.json()) as T };
  };
  interface Page {
    items: LetterAnswer[];
    nextCursor: string | null;
  }
  const replay = async (body: object) => {
    const answer = await post(body, undefined, { path: '/v1/dead-letters/replay' });
    return { ...answer, body: answer.body as unknown as ReplayAnswer & { type: string } };
  };
  const placeOf = ({ partition, offset }: LetterAnswer) => ({ partition, offset });

  test('an event that stays wrong dies again when it is replayed, each time with a count, until nobody may', async () => {
    const wrong = { ...event('queued'), type: 'com.headroom.execution.queued.v2' };
    const headers = { traceparent: '00-1' };
    await log.append(TOPICS.executions, [
      { key: wrong.subject, value: JSON.stringify(wrong), headers, partition: 1 },
    ]);
    for (let replays = 0; replays <= MAX_REPLAYS; replays++) {
      await settled();
      const { body } = await ask<Page>('?limit=1');
      const [newest] = body.items as [LetterAnswer];
      expect(newest).toMatchObject({ reason: 'unknown_version', replays, key: wrong.subject });
      expect(newest.source).toMatch(/^executions\.v1\[1\]@/);
      const shown = await ask<LetterAnswer>(`/${newest.partition}/${newest.offset}`);
      expect(shown.body).toMatchObject({ headers, payload: { state: 'kept', text: JSON.stringify(wrong) } });
      expect(shown.body.replayedFrom).toBe(
        replays === 0 ? undefined : `executions.dlq.v1[0]@${newest.offset - 1}`,
      );
      const answer = await replay({ letters: [placeOf(newest), placeOf(newest)] });
      const last = replays === MAX_REPLAYS;
      expect(answer.body.letters).toMatchObject([
        last ? { outcome: 'refused', reason: 'too_many_replays' } : { outcome: 'replayed' },
      ]);
    }
    await settled();
    expect(await letters()).toHaveLength(1 + MAX_REPLAYS);
    expect(witness.replays).toEqual({ replayed: MAX_REPLAYS, too_many_replays: 1 });
    expect(witness.lettersGiven).toEqual({ listed: 1 + MAX_REPLAYS, shown: 1 + MAX_REPLAYS });
  });

  test('events of a pool too many count once there is room, and once only', async () => {
    await post([event('queued', { pool: 'a' }), event('queued', { pool: 'b' })]);
    await settled();
    await post([event('completed', { pool: 'c' }), event('completed', { pool: 'c' })]);
    await settled();
    await new PolicyStore(store.dataSource).create({ pool: 'c', policy: defaults.policy, nowMs: 1 });
    await app.get(PoolRegistry).refresh();
    const all = { filter: { reason: 'too_many_pools', source: TOPICS.executions }, limit: 50 };
    for (let times = 0; times < 2; times++) {
      expect(await replay(all)).toMatchObject({
        status: 200,
        body: { replayed: 2, refused: 0, nextCursor: null },
      });
      await settled();
      expect(await totalArrivals('c')).toBe(2);
    }
    expect(await letters()).toHaveLength(2);
    const records = await recordsOf(TOPICS.executions);
    expect(records.filter(({ headers }) => headers['headroom-replays'] === '1')).toHaveLength(4);
  });

  test('what the API refused, and what a mapping did, is tried again and not written again when nothing has changed', async () => {
    const wrong = { ...event('queued'), type: 'com.headroom.execution.queued.v2' };
    await post([event('queued'), wrong]);
    await post({ runs: [{ id: 1, state: 'no', at: 1 }] }, undefined, { path: '/v1/webhooks/jobs' });
    await settled();
    const before = await log.endOffset({ topic: TOPICS.deadLetters, partition: 0 });
    const { body } = await replay({ filter: { source: 'POST' }, limit: 9 });
    expect(body.letters).toMatchObject([
      { reason: 'still_refused', detail: 'unknown_version: version 1, got 2' },
      {
        reason: 'still_refused',
        detail: expect.stringMatching(/^unknown_status: status: must be one of ok/),
      },
    ]);
    expect(await log.endOffset({ topic: TOPICS.deadLetters, partition: 0 })).toBe(before);
  });

  test('are listed newest first, page by page, and by reason, source and time', async () => {
    const records = ['a', 'b', 'c'].map((key) => ({ key, value: '{', partition: 0 }));
    await log.append(TOPICS.executions, records);
    await post('no event');
    await settled();
    const keys = async (query: string) =>
      (await ask<Page>(query)).body.items.map(({ key, source }) => key || source);
    const isNew = (item: LetterAnswer) => item.reason === 'unknown_type';
    const { items } = (await ask<Page>('')).body;
    expect(items).toHaveLength(4);
    expect(items.find(isNew)).toMatchObject({ source: 'POST /v1/events', payload: { bytes: 10 } });
    expect(items[0]?.payload).not.toHaveProperty('text');
    expect(await keys('?reason=malformed_json')).toEqual(['c', 'b', 'a']);
    expect(await keys('?source=POST+/v1/events')).toEqual(['POST /v1/events']);
    const first = (await ask<Page>('?reason=malformed_json&limit=2')).body;
    expect(await keys(`?reason=malformed_json&cursor=${first.nextCursor}`)).toEqual(['a']);
    expect(await keys(`?from=${new Date(Date.now() + 60_000).toISOString()}`)).toEqual([]);
    expect(await keys(`?to=${new Date(Date.now() + 60_000).toISOString()}`)).toHaveLength(4);
    expect(await keys('?to=1960-01-01T00:00:00Z')).toEqual([]);
  });

  test('a place without a letter, a filter of nothing and a log that does not answer are problems', async () => {
    expect(await ask('/0/0')).toMatchObject({
      status: 404,
      body: { type: 'urn:headroom:unknown-dead-letter' },
    });
    expect(await ask('/7/0')).toMatchObject({ status: 404 });
    expect(await ask('/0/-1')).toMatchObject({ status: 400 });
    for (const query of ['?cursor=1', '?from=yesterday', '?limit=0', '?pool=web'])
      expect(await ask(query)).toMatchObject({ status: 400 });
    for (const body of [
      {},
      { letters: [] },
      { filter: {}, limit: 5 },
      { filter: { reason: 'invalid' } },
      { letters: [{ partition: 0, offset: 0 }], filter: { reason: 'invalid' }, limit: 1 },
    ])
      expect(await replay(body)).toMatchObject({ status: 422 });
    expect((await replay({ letters: [{ partition: 0, offset: 5 }] })).body.letters).toMatchObject([
      { partition: 0, offset: 5, outcome: 'refused', reason: 'no_letter' },
    ]);
    await post('no event');
    const read = log.read.bind(log);
    log.read = () => Promise.reject(new Error('no engine'));
    expect(await ask('')).toMatchObject({ status: 503, body: { type: 'urn:headroom:log-unavailable' } });
    log.read = read;
    expect(witness.failures).toMatchObject([{ message: 'no engine' }]);
  });

  test('a log that takes nothing says so of each letter, and the others are not tried', async () => {
    await log.append(
      TOPICS.executions,
      Array.from({ length: 30 }, (_, i) => ({ key: `k${i}`, value: '{', partition: 0 })),
    );
    await settled();
    const append = log.append.bind(log);
    let tries = 0;
    log.append = () => (tries++, Promise.reject(new LogOverloaded('full')));
    const { body } = await replay({ filter: { reason: 'malformed_json' }, limit: 30 });
    log.append = append;
    expect(body).toMatchObject({ replayed: 0, refused: 30 });
    expect(new Set(body.letters.map(({ reason }) => reason))).toEqual(new Set(['overloaded']));
    expect(tries).toBeLessThan(30);
  });
});

test('the retention keeps eight seasons, at least as long as events may be late, and a bounded number of rows', async () => {
  const late = { dedupeWindowS: 300, maxExecutionS: 3600 };
  expect(keptS({ bucketS: 1, latenessS: 0, seasonsS: [240] }, late)).toBe(7200);
  expect(keptS({ bucketS: 60, latenessS: 0, seasonsS: [86_400, 604_800] }, late)).toBe(8 * 604_800);
  expect(keptS({ bucketS: 1, latenessS: 0, seasonsS: [366 * 86_400] }, late)).toBe(2_000_000);
  for (const bucketS of [1, 10]) {
    const slow = { dedupeWindowS: 300, maxExecutionS: 30 * 86_400 };
    expect(keptS({ bucketS, latenessS: 0, seasonsS: [240] }, slow)).toBe(30 * 86_400 + 300 + bucketS);
  }
  const { maxAgeS, maxFutureS } = ingestSettings({ dedupeWindowS: 30, maxExecutionS: 100 });
  expect({ maxAgeS, maxFutureS }).toEqual({ maxAgeS: 100, maxFutureS: 30 });
});

test('the routes are documented with the schema of an event', () => {
  const page = JSON.stringify(
    openApiOf([...EVENT_ROUTES, ...WEBHOOK_ROUTES, ...Object.values(DEAD_LETTER_ROUTES)], {
      title: 'Headroom',
      version: '1',
    }),
  );
  expect(page).toContain('queuedAtMs');
  expect(page).toContain('application/cloudevents-batch+json');
  expect(page).toContain('/v1/webhooks/{mapping}');
  expect(page).toContain('/v1/dead-letters/{partition}/{offset}');
});
