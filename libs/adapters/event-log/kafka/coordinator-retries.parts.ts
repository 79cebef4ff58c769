import { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import { startKafka, type Kafka } from '#parts/kafka';
import type { StoredRecord } from '../event-log.js';
import { KafkaEventLog, type KafkaEventLogOptions } from './kafka-event-log.js';
import { kafkaSettingsSchema } from './kafka-settings.js';

jest.setTimeout(120_000);

const IN = 'in.v1';
const OUT = 'out.v1';
const AT = { topic: IN, partition: 0 };

/** For a coordinator that stays away. */
const COORDINATOR_WITHIN_MS = 2_000;
/** Twice that, and what a busy machine adds. */
const GIVEN_UP_WITHIN_MS = 12_000;

const LOADING = 14;
const NOT_AVAILABLE = 15;
const NOT_COORDINATOR = 16;

/** By the numbers of the protocol. */
const CALLS = {
  initProducerId: 22,
  addPartitionsToTxn: 24,
  addOffsetsToTxn: 25,
  endTxn: 26,
  txnOffsetCommit: 28,
} as const;
type Call = keyof typeof CALLS;

let broker: Kafka;
let started = 0;
let log: KafkaEventLog;
/** What coordinators refuse from now on, and how often still. */
let refused: { call: Call; code: number; times: number } | undefined;

beforeAll(async () => {
  const interval = 'transaction.abort.timed.out.transaction.cleanup.interval.ms';
  broker = await startKafka({ properties: { [interval]: 500 } });
}, 120_000);
afterAll(() => broker.stop());

beforeEach(async () => {
  refused = undefined;
  log = await open();
});
afterEach(() => log.close());

/** On topics of its own. */
async function open(options: KafkaEventLogOptions = {}): Promise<KafkaEventLog> {
  const settings = kafkaSettingsSchema.parse({
    kind: 'kafka',
    brokers: [broker.bootstrap],
    prefix: `ready-${started++}.`,
    replicationFactor: 1,
  });
  const opened = await KafkaEventLog.open(settings, { socketFactory: refusingSocket, ...options });
  const topic = { partitions: 1, retentionMs: 3_600_000, compacted: false };
  await opened.ensureTopics([
    { ...topic, name: IN },
    { ...topic, name: OUT },
  ]);
  return opened;
}

/** A connection on which a coordinator refuses calls: they do not reach the broker, as little as they would change there. */
function refusingSocket({ host, port, onConnect }: { host: string; port: number; onConnect: () => void }) {
  const socket = new Socket().connect({ host, port }, onConnect); // which sets `write`
  const write = socket.write.bind(socket) as (bytes: Buffer, encoding: BufferEncoding) => boolean;
  socket.write = ((bytes: Buffer, encoding: BufferEncoding) => {
    const answer = refusalOf(bytes);
    if (answer === undefined) return write(bytes, encoding);
    setImmediate(() => socket.emit('data', answer));
    return true;
  }) as Socket['write'];
  return socket;
}

/** A request begins with its length, call, version, number and the client's name; its answer with length and number. */
function refusalOf(request: Buffer): Buffer | undefined {
  if (refused === undefined || refused.times === 0) return undefined;
  if (request.readInt16BE(4) !== CALLS[refused.call]) return undefined;
  const transactionalIdLength = request.readInt16BE(14 + request.readInt16BE(12));
  if (transactionalIdLength < 0) return undefined; // of a producer without transactions
  refused.times--;
  const body = bodyOf(refused);
  const head = Buffer.alloc(12); // the last four: not throttled
  head.writeInt32BE(8 + body.length, 0);
  head.writeInt32BE(request.readInt32BE(8), 4);
  return Buffer.concat([head, body]);
}

function bodyOf({ call, code }: { call: Call; code: number }): Buffer {
  const error = Buffer.alloc(2);
  error.writeInt16BE(code);
  if (call === 'initProducerId') return Buffer.concat([error, Buffer.alloc(10)]);
  if (call === 'endTxn' || call === 'addOffsetsToTxn') return error;
  // One topic with an empty name, of it one partition, number 0.
  return Buffer.concat([Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), error]);
}

/** Copies what comes; resolves when the first batch has been committed or has failed. */
async function copyOnce(): Promise<Error | undefined> {
  const over = Promise.withResolvers<Error | undefined>();
  const member = await log.subscribe({
    group: 'copy',
    topics: [IN],
    commits: true,
    onBatch: async ({ records }, committer) => {
      const offset = (records.at(-1) as StoredRecord).offset + 1;
      const outputs = [{ topic: OUT, records: records.map(({ key, value }) => ({ key, value })) }];
      expect(await committer.commit({ outputs, offsets: [{ ...AT, offset }] })).toBe('committed');
      over.resolve(undefined);
    },
    onFailed: over.resolve,
  });
  const failure = await over.promise;
  await member.leave();
  return failure;
}

async function copies(count: number): Promise<string[]> {
  for (;;) {
    const all = await log.read({ topic: OUT, partition: 0, offset: 0, maxRecords: 100 });
    if (all.length >= count) return all.map(({ value }) => value as string);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** More often than the library itself asks for what it asks for again. */
const OFTEN = 16;

test.each<[Call, number, number]>([
  ['initProducerId', LOADING, OFTEN],
  ['addPartitionsToTxn', NOT_COORDINATOR, OFTEN],
  ['addOffsetsToTxn', LOADING, 3],
  ['txnOffsetCommit', LOADING, 3],
  ['txnOffsetCommit', NOT_COORDINATOR, 3],
  ['endTxn', LOADING, 3],
  ['endTxn', NOT_AVAILABLE, 3],
  ['endTxn', NOT_COORDINATOR, 3],
])(
  '%s, refused with %i, is asked again until it is taken: the step counts, once',
  async (call, code, times) => {
    await log.append(IN, [{ key: 'k', value: '1', partition: 0 }]);
    refused = { call, code, times };
    expect(await copyOnce()).toBeUndefined();
    expect(refused.times).toBe(0);
    expect(await copies(1)).toEqual(['1']);
    while ((await log.lag({ group: 'copy', topic: IN })).records > 0);
  },
);

test('a coordinator that stays away: the member fails in its time and says why; the next one does the step', async () => {
  await log.close();
  log = await open({ coordinatorWithinMs: COORDINATOR_WITHIN_MS });
  await log.append(IN, [{ key: 'k', value: '1', partition: 0 }]);
  refused = { call: 'endTxn', code: LOADING, times: Infinity };
  const begunMs = performance.now();
  expect((await copyOnce())?.message).toMatch(
    /committing: a coordinator must be ready within 2000 ms, got GROUP_LOAD_IN_PROGRESS \(hint: /,
  );
  // Nobody ends what was begun: the brokers do, and readers wait for it.
  await log.append(OUT, [{ key: 'k', value: 'behind', partition: 0 }]);
  expect(await log.read({ topic: OUT, partition: 0, offset: 0, maxRecords: 100 })).toEqual([]);
  expect(await copies(1)).toEqual(['behind']);
  expect(performance.now() - begunMs).toBeLessThan(GIVEN_UP_WITHIN_MS);
  refused = undefined;
  expect(await copyOnce()).toBeUndefined();
  expect(await copies(2)).toEqual(['behind', '1']);
});
