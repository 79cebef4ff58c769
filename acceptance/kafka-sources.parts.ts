import { join } from 'node:path';
import kafkajs, { type Admin, type Message, type Producer } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startKafka, type Kafka } from '#parts/kafka';
import { ApiClient } from './api-client.js';
import { eventually, freePorts, Workplace } from './headroom-process.js';
import { completed } from './sent-events.js';

// Topics of a platform on a real Kafka, written by a client of its own, and Headroom reading them beside its own topics,
// which have a prefix: every record counts, each once, although the program is killed while it reads.

const JOBS = 'platform.jobs';
const EVENTS = 'platform.events';
const PARTITIONS = 3;
const PER_ROUND = 300;
const work = new Workplace();
let kafka: Kafka;
let admin: Admin;
let producer: Producer;

beforeAll(async () => {
  kafka = await startKafka();
  const client = new kafkajs.Kafka({ brokers: [kafka.bootstrap], logLevel: kafkajs.logLevel.NOTHING });
  admin = client.admin();
  producer = client.producer();
  await Promise.all([admin.connect(), producer.connect()]);
  const topics = [JOBS, EVENTS].map((topic) => ({ topic, numPartitions: PARTITIONS }));
  await admin.createTopics({ topics, waitForLeaders: true });
}, 120_000);
afterAll(async () => {
  await Promise.all([admin?.disconnect(), producer?.disconnect()]);
  await work.clean();
  await kafka?.stop();
}, 60_000);

const JOBS_MAPPING = {
  execution: '{id}',
  pool: '{queue}',
  status: 'completed',
  times: { unit: 's', startedAt: 'begun', endedAt: 'done' },
};

async function configured(more: object) {
  const [apiPort, routerPort] = (await freePorts(2)) as [number, number];
  return {
    url: `http://127.0.0.1:${apiPort}`,
    api: { port: apiPort },
    router: { port: routerPort },
    log: { statusEveryS: 0 },
    mappings: { jobs: JOBS_MAPPING },
    pools: { images: {}, mail: {} },
    ...more,
  };
}
const eventLog = (prefix: string) => ({
  kind: 'kafka',
  brokers: [kafka.bootstrap],
  replicationFactor: 1,
  prefix,
  sessionTimeoutMs: 6_000, // the shortest that a broker takes unasked
});

const nowS = () => Date.now() / 1000;
const job = (id: string, queue = 'images'): Message => ({
  key: id,
  value: JSON.stringify({ id, queue, begun: nowS() - 1.5, done: nowS() - 0.5 }),
});
const eventOf = (id: string) => completed({ id, pool: 'mail', queuedAtMs: Date.now() - 100 });

function structured(id: string): Message {
  const headers = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };
  return { key: id, value: JSON.stringify(eventOf(id)), headers };
}
function binary(id: string): Message {
  const { data, ...attributes } = eventOf(id);
  const headers = Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value]);
  return {
    key: id,
    value: JSON.stringify(data),
    headers: { ...(Object.fromEntries(headers) as object), 'content-type': 'application/json' },
  };
}
const many = (count: number, make: (n: number) => Message) =>
  Array.from({ length: count }, (_, n) => make(n));

describe('topics of a platform', () => {
  let api: ApiClient;

  const sum = async (pool: string, what: 'arrivals' | 'completions') => {
    const buckets = await api.all<Record<typeof what, number>>(`/v1/pools/${pool}/demand`);
    return buckets.reduce((total, bucket) => total + bucket[what], 0);
  };
  const counted = (pool: string, count: number) =>
    eventually(
      `${count} executions of ${pool}`,
      async () => (await sum(pool, 'arrivals')) >= count || undefined,
    );
  const writeRound = async (round: number) => {
    await producer.send({ topic: JOBS, messages: many(PER_ROUND, (n) => job(`${round}-${n}`)) });
    const messages = many(PER_ROUND, (n) => (n % 2 === 0 ? structured : binary)(`${round}-${n}`));
    await producer.send({ topic: EVENTS, messages });
  };

  test('every record of several of them counts once, across a kill of the program', async () => {
    const sources = {
      jobs: { kind: 'kafka', topic: JOBS, mapping: 'jobs' },
      events: { kind: 'kafka', topic: EVENTS },
    };
    const { url, ...config } = await configured({ eventLog: eventLog('prod.'), sources });
    const file = work.write('headroom.yaml', config);
    await writeRound(1);
    const wrong = { key: 'wrong', value: '{"id":', partition: 1 };
    await producer.send({ topic: JOBS, messages: [wrong] });
    const first = work.start(file);
    await first.line(/^headroom: ready/m);
    api = new ApiClient(url, await work.token('all'));
    await counted('images', 1);
    first.kill('SIGKILL');
    await first.ended;
    await writeRound(2);
    const second = work.start(file);
    await second.line(/^headroom: ready/m);
    await writeRound(3);
    for (const pool of ['images', 'mail']) {
      await counted(pool, 3 * PER_ROUND);
      const totals = { arrivals: await sum(pool, 'arrivals'), completions: await sum(pool, 'completions') };
      expect({ pool, ...totals }).toEqual({
        pool,
        arrivals: 3 * PER_ROUND,
        completions: 3 * PER_ROUND,
      });
    }
    const metrics = await api.metrics();
    expect(metrics.get('headroom_mapped_records_total{mapping="none",outcome="mapped"}')).toBeGreaterThan(0);
    const lags = [...metrics].filter(([name]) =>
      name.startsWith(`headroom_consumer_lag_records{group="mapped-${JOBS}",`),
    );
    expect(lags.map(([, records]) => records)).toEqual(Array.from({ length: PARTITIONS }, () => 0));
    const letters = await admin.fetchTopicOffsets('prod.executions.dlq.v1');
    expect(letters).not.toMatchObject([{ offset: '0' }]);
    const own = (await admin.listTopics()).filter((topic) => topic.startsWith('prod.'));
    expect(own).toContain('prod.executions.v1');
    expect(own).not.toContain(`prod.${JOBS}`);
    const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId);
    expect(groups).toContain(`prod.mapped-${JOBS}`);
    second.kill('SIGTERM');
    expect(await second.ended).toEqual({ code: 0, signal: null });
  }, 120_000);

  test('one that does not exist ends the start with its name', async () => {
    const sources = { jobs: { kind: 'kafka', topic: 'platform.jobz', mapping: 'jobs' } };
    const { url: _, ...config } = await configured({ eventLog: eventLog('missing.'), sources });
    const elsewhere = ['--data-dir', join(work.folder, 'elsewhere')];
    const program = work.headroom('start', '--config', work.write('missing.yaml', config), ...elsewhere);
    expect(await program.ended).toEqual({ code: 2, signal: null });
    expect(program.stderr).toContain(
      'headroom: event log topic platform.jobz: must exist at the brokers, got none\n' +
        '  hint: make it, or correct its name; eventLog.prefix is not put before it\n',
    );
    expect(program.stderr).not.toContain('    at ');
    expect(await admin.listTopics()).not.toContain('platform.jobz');
  }, 60_000);
});
