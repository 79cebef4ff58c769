import { afterAll, beforeAll } from '@jest/globals';
import { startKafka, type Kafka } from './kafka.js';
import { startPostgres, type Postgres } from './postgres.js';

/** Far more than it takes on a quiet machine. */
const START_WITHIN_MS = 120_000;
const STOP_WITHIN_MS = 60_000;

/** What the processes of a deployment share. */
export interface KafkaAndPostgres {
  kafka: Kafka;
  postgres: Postgres;
}

/** Both for the suite that calls it: they are there from its first test on, and stopped after its last. */
export function startsKafkaAndPostgres(): KafkaAndPostgres {
  const servers: Partial<KafkaAndPostgres> = {};
  beforeAll(async () => {
    const starting = [
      startKafka().then((kafka) => (servers.kafka = kafka)),
      startPostgres().then((postgres) => (servers.postgres = postgres)),
    ];
    await Promise.all(starting);
  }, START_WITHIN_MS);
  afterAll(async () => {
    await Promise.all([servers.kafka, servers.postgres].map((server) => server?.stop()));
  }, STOP_WITHIN_MS);
  return servers as KafkaAndPostgres;
}
