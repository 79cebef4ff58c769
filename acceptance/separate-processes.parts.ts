import { createHmac } from 'node:crypto';
import kafkajs from 'kafkajs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { startsKafkaAndPostgres } from '#parts/kafka-and-postgres';
import { ApiClient } from './api-client.js';
import { badInputSuite } from './bad-input.suite.js';
import { expectExactAfterKills } from './exact-after-kills.js';
import { eventually, Workplace } from './headroom-process.js';
import { loopSuite } from './loop.suite.js';
import { replaySuite } from './replay.suite.js';
import { separateProcesses } from './separate-processes.js';

// The suites of one process, unchanged, on processes of their own that share Kafka and PostgreSQL.

const servers = startsKafkaAndPostgres();
const deployment = separateProcesses(() => ({
  kafka: servers.kafka.bootstrap,
  postgres: servers.postgres.url,
}));

loopSuite(deployment);
badInputSuite(deployment);
replaySuite(deployment);

describe('sources', () => {
  const work = new Workplace();
  const TOPIC = 'platform.jobs';
  const SECRET = 'a secret of the sender';
  const JOBS = 600;
  const jobs = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, n) => ({ id: `${prefix}-${n}`, at: Date.now() - 100 }));
  afterAll(() => work.clean());

  test('a topic of a platform, a signed webhook and a past: all of it counts once', async () => {
    const client = new kafkajs.Kafka({
      brokers: [servers.kafka.bootstrap],
      logLevel: kafkajs.logLevel.NOTHING,
    });
    const [admin, producer] = [client.admin(), client.producer()];
    await Promise.all([admin.connect(), producer.connect()]);
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 6 }], waitForLeaders: true });
    const times = { endedAt: 'at' };
    const deployed = await deployment.start(work, {
      log: { statusEveryS: 0, level: 'warn' },
      mappings: { jobs: { execution: '{id}', pool: 'jobs', status: 'completed', times } },
      sources: { jobs: { kind: 'kafka', topic: TOPIC, mapping: 'jobs' } },
      webhooks: { jobs: { secretFile: work.write('secrets/jobs', SECRET) } },
      pools: { jobs: { bucketS: 10, seasonsS: [60] } },
    });
    const messages = jobs('topic', JOBS).map((job) => ({ key: job.id, value: JSON.stringify(job) }));
    await producer.send({ topic: TOPIC, messages });
    await Promise.all([admin.disconnect(), producer.disconnect()]);
    for (const place of deployed.places.slice(1, 3)) {
      const text = JSON.stringify(jobs(place.url, JOBS));
      const signature = createHmac('sha256', SECRET).update(text).digest('hex');
      const sent = { text, headers: { 'x-headroom-signature': signature } };
      const answer = await new ApiClient(place.url).send('POST', '/v1/webhooks/jobs', sent);
      expect(answer).toMatchObject({ status: 202, body: { accepted: JOBS } });
    }
    const { api } = deployed;
    const mapped = () =>
      api.metrics().then((metrics) => {
        return metrics.get('headroom_mapped_records_total{mapping="jobs",outcome="mapped"}') === 3 * JOBS;
      });
    await eventually('all records mapped', async () => (await mapped()) || undefined);
    const toMs = Math.floor(Date.now() / 10_000) * 10_000 - 600_000;
    const buckets = [{ startMs: toMs - 10_000, arrivals: 7 }];
    const past = { name: 'csv', fromMs: toMs - 20_000, toMs, buckets, isLast: true };
    const taken = await api.send('POST', '/v1/pools/jobs/history', { body: past });
    expect(taken).toMatchObject({ status: 200, body: { includedToMs: toMs } });
    await deployed.demandSettled();
    const demand = await api.all<{ arrivals: number }>('/v1/pools/jobs/demand');
    expect(demand.reduce((sum, { arrivals }) => sum + arrivals, 0)).toBe(3 * JOBS + 7);
    await deployed.stop();
  }, 180_000);
});

describe('kills', () => {
  const work = new Workplace();
  afterAll(() => work.clean());

  test('after kills -9 of one process after the other every acknowledged event has counted once', async () => {
    // Nothing need be sent again: the other ingest takes at once what one does not.
    const { acknowledged } = await expectExactAfterKills({ work, deployment, kills: 8, withinMs: 3_000 });
    expect(acknowledged).toBeGreaterThan(1_000);
  }, 300_000);
});
