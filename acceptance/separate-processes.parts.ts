import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startsKafkaAndPostgres } from '#parts/kafka-and-postgres';
import { startPrometheus, type Prometheus } from '#parts/prometheus';
import type { Forecast } from '#domain/forecasting';
import { ApiClient } from './api-client.js';
import { badInputSuite } from './bad-input.suite.js';
import type { Deployed } from './deployment.js';
import { expectExactAfterKills } from './exact-after-kills.js';
import { eventually, Workplace } from './headroom-process.js';
import { loopSuite } from './loop.suite.js';
import { replaySuite } from './replay.suite.js';
import { configFolderOf, separateProcesses } from './separate-processes.js';

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
  let prometheus: Prometheus;
  let deployed: Deployed;
  let platform: kafkajs.Producer;

  beforeAll(async () => {
    const client = new kafkajs.Kafka({
      brokers: [servers.kafka.bootstrap],
      logLevel: kafkajs.logLevel.NOTHING,
    });
    const admin = client.admin();
    platform = client.producer();
    [prometheus] = await Promise.all([startPrometheus(), admin.connect(), platform.connect()]);
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 6 }], waitForLeaders: true });
    await admin.disconnect();
    // The others have no such files.
    for (const ingest of ['ingest-1', 'ingest-2'])
      for (const secret of ['jobs', 'prometheus'])
        work.write(join(configFolderOf(ingest), 'secrets', secret), SECRET);
    const measured = { arrivals: 'vector(30)', inFlight: 'vector(2)', backlog: 'vector(0)' };
    deployed = await deployment.start(work, {
      log: { statusEveryS: 0, level: 'warn' },
      mappings: {
        jobs: { execution: '{id}', pool: 'jobs', status: 'completed', times: { endedAt: 'at' } },
      },
      sources: {
        jobs: { kind: 'kafka', topic: TOPIC, mapping: 'jobs' },
        prom: {
          kind: 'prometheus',
          url: prometheus.url,
          tokenFile: 'secrets/prometheus',
          pools: { measured },
        },
      },
      webhooks: { jobs: { secretFile: 'secrets/jobs' } },
      pools: { jobs: { bucketS: 10, seasonsS: [60] }, measured: { bucketS: 1, seasonsS: [60] } },
    });
  }, 180_000);
  afterAll(async () => {
    await platform?.disconnect();
    await work.clean();
    await prometheus?.stop();
  }, 60_000);

  test('a topic of a platform, a signed webhook and a past: all of it counts once', async () => {
    const messages = jobs('topic', JOBS).map((job) => ({ key: job.id, value: JSON.stringify(job) }));
    await platform.send({ topic: TOPIC, messages });
    const ingests = ['ingest-1', 'ingest-2'].map((name) => deployed.place(name));
    for (const { url } of ingests) {
      const text = JSON.stringify(jobs(url, JOBS));
      const signature = createHmac('sha256', SECRET).update(text).digest('hex');
      const sent = { text, headers: { 'x-headroom-signature': signature } };
      const answer = await new ApiClient(url).send('POST', '/v1/webhooks/jobs', sent);
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
    const token = await work.token('events:write');
    // By both ingests at once, the second of which finds the first one's.
    const taken = await Promise.all(
      ingests.map(({ url, name }) => {
        const past = { name, fromMs: toMs - 20_000, toMs, buckets, isLast: true };
        return new ApiClient(url, token).send('POST', '/v1/pools/jobs/history', { body: past });
      }),
    );
    expect(taken.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    await deployed.demandSettled();
    const demand = await api.all<{ arrivals: number }>('/v1/pools/jobs/demand');
    expect(demand.reduce((sum, { arrivals }) => sum + arrivals, 0)).toBe(3 * JOBS + 7);
  }, 180_000);

  test('who decides and forecasts knows up to when Prometheus was asked, and has none of its secrets', async () => {
    const { api } = deployed;
    interface Decision {
      kind: string;
      inputs: { arrivalRatePerS?: number };
    }
    // What is not asked for yet would be an idle second in one of two.
    await eventually('a decision that sees 30 arrivals a second', async () => {
      const [latest] = await api.all<Decision>('/v1/pools/measured/decisions');
      return (latest?.kind !== 'blind' && latest?.inputs.arrivalRatePerS === 30) || undefined;
    });
    await eventually('a forecast that has seen no idle second', async () => {
      const [latest] = await api.all<Forecast>('/v1/pools/measured/forecast');
      const horizon = latest?.horizons[0];
      const median = horizon?.values[horizon.levels.indexOf(0.5)] ?? 0;
      return median >= 20 || undefined;
    });
    const buckets = await api.all<{ arrivals: number }>('/v1/pools/measured/demand');
    expect(new Set(buckets.map(({ arrivals }) => arrivals))).toEqual(new Set([30]));
  }, 120_000);
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
