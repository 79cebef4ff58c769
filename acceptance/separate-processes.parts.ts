import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startKafka, type Kafka } from '#parts/kafka';
import { startPostgres, type Postgres } from '#parts/postgres';
import { badInputSuite } from './bad-input.suite.js';
import { expectExactAfterKills } from './exact-after-kills.js';
import { Workplace } from './headroom-process.js';
import { loopSuite } from './loop.suite.js';
import { replaySuite } from './replay.suite.js';
import { separateProcesses } from './separate-processes.js';

// The suites of one process, unchanged, on processes of their own that share Kafka and PostgreSQL.

let kafka: Kafka;
let postgres: Postgres;
beforeAll(async () => {
  kafka = await startKafka();
  postgres = await startPostgres();
}, 120_000);
afterAll(async () => {
  await Promise.all([kafka, postgres].map((server) => server?.stop()));
}, 60_000);

const deployment = separateProcesses(() => ({ kafka: kafka.bootstrap, postgres: postgres.url }));

loopSuite(deployment);
badInputSuite(deployment);
replaySuite(deployment);

describe('kills', () => {
  const work = new Workplace();
  afterAll(() => work.clean());

  test('after kills -9 of one process after the other every acknowledged event has counted once', async () => {
    // Nothing need be sent again: the other ingest takes at once what one does not.
    const { acknowledged } = await expectExactAfterKills({ work, deployment, kills: 8, withinMs: 3_000 });
    expect(acknowledged).toBeGreaterThan(1_000);
  }, 300_000);
});
