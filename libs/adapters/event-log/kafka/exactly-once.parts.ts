import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import kafkajs, { type Producer, type Transaction } from 'kafkajs';
import { startKafka, type Kafka } from '#parts/kafka';
import type { Member, StoredRecord } from '../event-log.js';
import type { CopyingOrders, CopyingReport } from './copying-member.process.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { kafkaSettingsSchema, type KafkaSettingsInput } from './kafka-settings.js';

jest.setTimeout(120_000);

const UNTIL_WITHIN_MS = 100_000;
const IN = 'in.v1';
const OUT = 'out.v1';
const PARTITIONS = 4;
const GROUP = 'copy';
const SESSION_MS = 2_000;

let broker: Kafka;
let started = 0;
let settings: KafkaSettingsInput;
let log: KafkaEventLog;
let members: CopyingMember[];

beforeAll(async () => {
  broker = await startKafka({ properties: { 'group.min.session.timeout.ms': SESSION_MS } });
}, 120_000);
afterAll(() => broker.stop());

beforeEach(async () => {
  settings = {
    kind: 'kafka',
    brokers: [broker.bootstrap],
    prefix: `once-${started++}.`,
    replicationFactor: 1,
    sessionTimeoutMs: SESSION_MS,
  };
  log = await KafkaEventLog.open(kafkaSettingsSchema.parse(settings));
  const topic = { partitions: PARTITIONS, retentionMs: 3_600_000, compacted: false };
  await log.ensureTopics([
    { ...topic, name: IN },
    { ...topic, name: OUT },
  ]);
  members = [];
});
const start = (options?: { isAsked: boolean }): CopyingMember => {
  const member = new CopyingMember(options);
  members.push(member);
  return member;
};
afterEach(async () => {
  await Promise.all(members.map((member) => member.kill()));
  await log.close();
});

/** A member in a process of its own, so that it can be stopped and killed as processes are. */
class CopyingMember {
  private readonly child: ChildProcess;
  private readonly reports: CopyingReport[] = [];

  constructor({ isAsked = false }: { isAsked?: boolean } = {}) {
    this.child = fork(join(import.meta.dirname, 'copying-member.process.js'), {
      stdio: 'inherit',
      execArgv: ['--disable-warning=TimeoutNegativeWarning'],
    });
    this.child.on('message', (report: CopyingReport) => this.reports.push(report));
    const orders: CopyingOrders = {
      settings,
      group: GROUP,
      from: IN,
      to: OUT,
      partitions: PARTITIONS,
      isAsked,
    };
    this.child.send(orders);
  }

  async reported<What extends CopyingReport['what']>(
    what: What,
    count = 1,
  ): Promise<Extract<CopyingReport, { what: What }>[]> {
    const found = () => this.reports.filter((report) => report.what === what);
    while (found().length < count) await once(this.child, 'message');
    return found() as Extract<CopyingReport, { what: What }>[];
  }

  commitNow(): void {
    this.child.send('commit');
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

async function readAll(topic: string): Promise<StoredRecord[]> {
  const all: StoredRecord[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    let offset = 0;
    for (;;) {
      const page = await log.read({ topic, partition, offset, maxRecords: 10_000 });
      const last = page.at(-1);
      if (last === undefined) break;
      all.push(...page);
      offset = last.offset + 1;
    }
  }
  return all;
}

const values = (records: StoredRecord[]) =>
  records.map(({ value }) => Number(value)).toSorted((a, b) => a - b);
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

async function append(from: number, to: number): Promise<void> {
  await log.append(
    IN,
    numbers(from, to).map((n) => ({ key: `k${n}`, value: String(n), partition: n % PARTITIONS })),
  );
}

/** When everything is read, and the copies can be: they are there a moment after the commit. */
async function copies(atLeast: number): Promise<StoredRecord[]> {
  let all: StoredRecord[] = [];
  await until(async () => {
    const isRead = (await log.lag({ group: GROUP, topic: IN })).records === 0;
    all = await readAll(OUT);
    return isRead && all.length >= atLeast;
  });
  return all;
}

/** Ends by itself: Jest ends a test that takes too long, and not what it waits for. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + UNTIL_WITHIN_MS;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`must be so within ${UNTIL_WITHIN_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

test('a zombie that wakes after its partitions went to another writes nothing: its commit is fenced', async () => {
  const zombie = start({ isAsked: true });
  await zombie.reported('joined');
  await append(0, 4);
  await zombie.reported('batch', PARTITIONS);
  zombie.signal('SIGSTOP');
  const heir = start();
  await heir.reported('commit', PARTITIONS);
  zombie.signal('SIGCONT');
  for (let i = 0; i < PARTITIONS; i++) zombie.commitNow();
  const [commit] = await zombie.reported('commit');
  expect(commit).toEqual({ what: 'commit', outcome: 'fenced' });
  await append(4, 8);
  expect(values(await copies(8))).toEqual(numbers(0, 8));
});

test('a process that stops for longer than its session joins again when it wakes, and goes on', async () => {
  const sleeper = start();
  await append(0, 40);
  await sleeper.reported('commit', PARTITIONS);
  sleeper.signal('SIGSTOP');
  await append(40, 80);
  await new Promise((resolve) => setTimeout(resolve, 2 * SESSION_MS));
  sleeper.signal('SIGCONT');
  await sleeper.reported('joined', PARTITIONS + 1);
  expect(values(await copies(80))).toEqual(numbers(0, 80));
});

test('members that are killed, come, and go lose nothing and count nothing twice', async () => {
  const RECORDS = 40_000;
  start();
  start();
  for (let from = 0; from < RECORDS; from += 5_000) {
    const victim = members.at(-2) as CopyingMember;
    await victim.reported('joined'); // the other could be through with all of it before
    await append(from, from + 5_000);
    await victim.reported('batch');
    await victim.kill();
    start();
  }
  const all = await copies(RECORDS);
  expect(new Set(all.map(({ key }) => key)).size).toBe(all.length);
  expect(values(all)).toEqual(numbers(0, RECORDS));
});

describe('transactions that were rolled back', () => {
  const client = () => new kafkajs.Kafka({ brokers: [broker.bootstrap], logLevel: kafkajs.logLevel.NOTHING });
  const producers: Producer[] = [];
  afterEach(async () => {
    await Promise.all(producers.splice(0).map((producer) => producer.disconnect()));
  });

  const begin = async (id: string): Promise<Transaction> => {
    const transactionalId = `${settings.prefix}${id}`;
    const producer = client().producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    producers.push(producer);
    return producer.transaction();
  };
  const write = (transaction: Transaction, value: string) =>
    transaction.send({
      topic: `${settings.prefix}${IN}`,
      messages: [{ key: 'k', value, partition: 0 }],
    });

  /** Two that overlap, with a committed one between: the one that began first ends last. */
  const overlap = async (): Promise<void> => {
    const [first, kept, second] = [await begin('a'), await begin('b'), await begin('c')];
    await write(first, 'rolled back');
    await write(kept, '1');
    await write(second, 'rolled back');
    await second.abort();
    await write(kept, '2');
    await write(first, 'rolled back');
    await first.abort();
    await kept.commit();
  };

  test('are read by nobody, also when they overlap: neither by a reader nor by a member', async () => {
    await overlap();
    const at = { topic: IN, partition: 0 };
    let read: StoredRecord[] = [];
    // Visible a moment after the commit.
    await until(async () => (read = await log.read({ ...at, offset: 0, maxRecords: 100 })).length >= 2);
    expect(read.map(({ value }) => value)).toEqual(['1', '2']);
    const seen: string[] = [];
    const both = Promise.withResolvers<void>();
    await log.subscribe({
      group: 'reader',
      topics: [IN],
      onBatch: async ({ records }) => {
        seen.push(...records.map(({ value }) => value as string));
        if (seen.length >= 2) both.resolve();
      },
    });
    await both.promise;
    expect(seen).toEqual(['1', '2']);
  });

  test('the library’s own consumer hands them out: why records are fetched here', async () => {
    await overlap();
    const consumer = client().consumer({ groupId: `${settings.prefix}library` });
    await consumer.connect();
    await consumer.subscribe({ topics: [`${settings.prefix}${IN}`], fromBeginning: true });
    const seen: string[] = [];
    const all = Promise.withResolvers<void>();
    await consumer.run({
      eachMessage: async ({ message }) => {
        seen.push(String(message.value));
        if (seen.includes('2')) all.resolve();
      },
    });
    await all.promise;
    await consumer.disconnect();
    expect(seen).toContain('rolled back');
  });

  test('one that is open holds readers back until it is through, and a member’s lag says so', async () => {
    const open = await begin('open');
    await write(open, '1');
    await append(0, 1);
    const at = { topic: IN, partition: 0 };
    expect(await log.read({ ...at, offset: 0, maxRecords: 9 })).toEqual([]);
    await open.commit();
    await until(async () => (await log.read({ ...at, offset: 0, maxRecords: 9 })).length >= 2);
    expect((await log.lag({ group: 'nobody', topic: IN })).records).toBeGreaterThanOrEqual(2);
  });
});

test('a step that fails takes its member with it, and is done again by the next', async () => {
  await append(0, 1);
  let attempts = 0;
  const failed = Promise.withResolvers<Error>();
  const done = Promise.withResolvers<void>();
  const subscribe = () =>
    log.subscribe({
      group: GROUP,
      topics: [IN],
      commits: true,
      onBatch: async ({ partition, records }, member: Member) => {
        const outputs = [{ topic: OUT, records: records.map(({ value }) => ({ key: 'k', value })) }];
        if (attempts++ === 0) throw new Error('not yet');
        await member.commit({ outputs, offsets: [{ topic: IN, partition, offset: 1 }] });
        done.resolve();
      },
      onFailed: failed.resolve,
    });
  await subscribe();
  expect((await failed.promise).message).toBe('not yet');
  await subscribe();
  await done.promise;
  expect(values(await copies(1))).toEqual([0]);
});

test('offsets of partitions that may have different owners cannot be one step', async () => {
  const member = await log.subscribe({
    group: GROUP,
    topics: [IN],
    commits: true,
    onBatch: async () => undefined,
  });
  const offsets = [0, 1].map((partition) => ({ topic: IN, partition, offset: 0 }));
  await expect(member.commit({ outputs: [], offsets })).rejects.toThrow(
    /one bundle of partitions, got bundles 0 and 1/,
  );
});
