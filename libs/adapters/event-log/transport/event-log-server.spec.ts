import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Controller, Module, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload, type MicroserviceOptions } from '@nestjs/microservices';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { EmbeddedPostgres } from '#adapters/store';
import { EmbeddedEventLog } from '../embedded/embedded-event-log.js';
import type {
  EventLog,
  LostRecords,
  RecordBatch,
  StartOffset,
  Subscription,
  TopicPartition,
} from '../event-log.js';
import { EventLogServer } from './event-log-server.js';
import { HandlerErrors } from './handler-errors.filter.js';
import type { LogContext } from './log-context.js';

const sums = { topic: 'numbers.v1', group: 'sums', commits: true };
const journal = { topic: 'numbers.v1', group: 'journal' };

let failures: { group: string; error: Error; retryInMs: number }[];
let seen: string[];
let told: string[];
let poison: string | undefined;
let unwritable: string | undefined;
let changed: () => void;

@Controller()
class NumbersConsumer {
  @EventPattern(sums)
  async sum(
    @Payload() { topic, partition, records }: RecordBatch,
    @Ctx() context: LogContext,
  ): Promise<void> {
    if (records.some(({ value }) => value === poison)) {
      poison = undefined;
      throw new Error('cannot add poison');
    }
    const sum = records.reduce((total, { value }) => total + Number(value), 0);
    const offset = (records.at(-1)?.offset ?? 0) + 1;
    await context.commit({
      outputs: [{ topic: 'sums.v1', records: [{ key: 'sum', value: String(sum) }] }],
      offsets: [{ topic, partition, offset }],
    });
    changed();
  }

  @EventPattern({ ...journal, on: 'assigned' })
  async startAt(partitions: TopicPartition[]): Promise<StartOffset[]> {
    told.push(`assigned ${partitions.length}`);
    return partitions.map((at) => ({ ...at, offset: 1 }));
  }

  @EventPattern({ ...journal, on: 'revoked' })
  async forget(@Payload() partitions: TopicPartition[], @Ctx() context: LogContext): Promise<void> {
    told.push(`revoked ${partitions.length}`);
    const late = context.commit({ outputs: [], offsets: [] });
    await late.catch((error: Error) => told.push(error.message));
  }

  @EventPattern(journal)
  async write({ records }: RecordBatch): Promise<void> {
    if (records.some(({ value }) => value === unwritable)) {
      unwritable = undefined;
      throw new Error('cannot write');
    }
    seen.push(...records.map(({ value }) => String(value)));
    changed();
  }
}

@Module({ controllers: [NumbersConsumer] })
class NumbersModule {}

let engine: EmbeddedPostgres;
let dataDir: string;
let log: EmbeddedEventLog;
let server: EventLogServer;
let app: INestMicroservice;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-transport-'));
  engine = await EmbeddedPostgres.open({ dataDir });
}, 30_000);
afterAll(async () => {
  await engine.close();
  rmSync(dataDir, { recursive: true });
});

beforeEach(async () => {
  await engine.query('drop table if exists log_chunks, log_offsets, log_topics');
  log = await EmbeddedEventLog.open(engine, { housekeepingMs: 0 });
  const topic = { partitions: 1, retentionMs: 3_600_000, compacted: false };
  await log.ensureTopics([
    { ...topic, name: 'numbers.v1' },
    { ...topic, name: 'sums.v1' },
  ]);
  [failures, seen, told, changed] = [[], [], [], () => undefined];
  [poison, unwritable] = [undefined, undefined];
  server = new EventLogServer(log, {
    groupFailed: (failure) => failures.push(failure),
    batchHandled: () => undefined,
    recordsLost: () => undefined,
  });
  app = await NestFactory.createMicroservice<MicroserviceOptions>(NumbersModule, {
    strategy: server,
    logger: false,
  });
  app.useGlobalFilters(new HandlerErrors());
});
afterEach(async () => {
  await app.close();
  await log.close();
});

const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  const met = Promise.withResolvers<void>();
  changed = () => void Promise.resolve(condition()).then((yes) => yes && met.resolve(), met.reject);
  changed();
  await met.promise;
};
const total = async (): Promise<number> => {
  const records = await log.read({ topic: 'sums.v1', partition: 0, offset: 0, maxRecords: 100 });
  return records.reduce((sum, { value }) => sum + Number(value), 0);
};
const add = (...numbers: string[]) =>
  log.append(
    'numbers.v1',
    numbers.map((value) => ({ key: 'n', value })),
  );

test('handlers get whole batches, commit output with offsets, and choose where to start', async () => {
  await add('1', '2', '3');
  await app.listen();
  expect(failures).toEqual([]);
  expect(server.failing()).toEqual([]);
  await until(async () => (await total()) === 6);
  await until(() => seen.length === 2);
  expect(seen).toEqual(['2', '3']);
  const stands = { topic: 'numbers.v1', partition: 0, offset: 3, endOffset: 3 };
  // A member stands behind a batch when its handler has ended, a moment after it has told the test.
  while (server.positions().some(({ offset }) => offset < 3)) await nextTurn();
  expect(server.positions()).toHaveLength(2);
  expect(server.positions()).toEqual(
    expect.arrayContaining([
      { group: 'sums', ...stands },
      { group: 'journal', ...stands },
    ]),
  );
  expect(await log.lag({ group: 'sums', topic: 'numbers.v1' })).toEqual({ records: 0, ageMs: 0 });
  await server.close();
  expect(told).toEqual(['assigned 1', 'revoked 1', expect.stringMatching(/once partitions are revoked/)]);
});

test('a handler that throws is reported with its own error, and its group goes on where it had committed', async () => {
  await app.listen();
  await add('1');
  await until(async () => (await total()) === 1);
  poison = '7';
  await add('7');
  await until(async () => (await total()) === 8);
  expect(failures).toMatchObject([
    { group: 'sums', error: { message: 'cannot add poison' }, retryInMs: 100 },
  ]);
});

test('a member that fails has lost its partitions: their state is revoked before it is given them again', async () => {
  await app.listen();
  unwritable = '2';
  await add('1', '2');
  await until(() => seen.includes('2'));
  expect(told.filter((news) => news.endsWith('ed 1'))).toEqual(['assigned 1', 'revoked 1', 'assigned 1']);
});

test('a new group begins as far back as its pattern says', async () => {
  let nowMs = Date.now() - 7_200_000;
  const old = await EmbeddedEventLog.open(engine, { housekeepingMs: 0, nowMs: () => nowMs });
  const write = (value: string) => old.append('numbers.v1', [{ key: 'n', value }]);
  await write('1');
  nowMs = Date.now();
  await write('2');
  const late = new EventLogServer(old, {
    groupFailed: () => undefined,
    batchHandled: () => undefined,
    recordsLost: () => undefined,
  });
  const read = Promise.withResolvers<RecordBatch>();
  const handler = async (batch: RecordBatch) => read.resolve(batch);
  late.addHandler({ topic: 'numbers.v1', group: 'recent', newFromAgeS: 3_600 }, handler, true);
  late.listen(() => undefined);
  expect((await read.promise).records.map(({ value }) => value)).toEqual(['2']);
  await late.close();
  await old.close();
});

test('what a log has lost is told, with the group that has lost it', async () => {
  // The embedded log drops nothing that a group has not read: that Kafka's does is shown with a broker.
  const lost: LostRecords = { topic: 'numbers.v1', partition: 0, from: 0, to: 3 };
  const losing: EventLog = Object.assign(Object.create(log) as EventLog, {
    subscribe: (subscription: Subscription) => {
      subscription.onLost?.(lost);
      return log.subscribe(subscription);
    },
  });
  const reported = Promise.withResolvers<LostRecords & { group: string }>();
  const late = new EventLogServer(losing, {
    groupFailed: () => undefined,
    batchHandled: () => undefined,
    recordsLost: (told) => reported.resolve(told),
  });
  late.addHandler({ topic: 'numbers.v1', group: 'late' }, async () => undefined, true);
  late.listen(() => undefined);
  expect(await reported.promise).toEqual({ group: 'late', ...lost });
  await late.close();
});

test('a topic that does not exist is reported, not thrown at the program', async () => {
  await engine.query('drop table log_chunks, log_offsets, log_topics');
  const empty = await EmbeddedEventLog.open(engine, { housekeepingMs: 0 });
  const lost = new EventLogServer(empty, {
    groupFailed: (failure) => failures.push(failure),
    batchHandled: () => undefined,
    recordsLost: () => undefined,
  });
  lost.addHandler(sums, async () => undefined, true);
  const listening = Promise.withResolvers<void>();
  lost.listen(() => listening.resolve());
  await listening.promise;
  expect(lost.failing()).toEqual(['sums']);
  expect(failures[0]?.error.message).toMatch(/known topic/);
  expect(() => lost.on()).toThrow(/no events of its own/);
  expect(lost.unwrap()).toBe(empty);
  await lost.close();
  await empty.close();
});
