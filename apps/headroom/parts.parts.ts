import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { startsKafkaAndPostgres } from '#parts/kafka-and-postgres';
import { topicSpecs } from '#adapters/event-log';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import { kafkaSettingsSchema } from '#adapters/event-log/kafka-settings';
import { openLocalIdentity, type Verifier } from '#adapters/identity';
import { createLogger } from '#adapters/telemetry';
import { configSchema, type Config } from './config.js';
import { openParts, type Parts } from './parts.js';
import { needsOf, TARGET_NAMES, type TargetName } from './targets.js';

jest.setTimeout(60_000);

const running = startsKafkaAndPostgres();
let folder: string;
let dataDir: string;
let identity: Verifier;
let parts: Parts | undefined;
let opened = 0;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-parts-'));
  dataDir = join(folder, 'data');
  const key = await openLocalIdentity(join(folder, 'key'), { create: true });
  if (!key.ok) throw new Error(key.problem);
  ({ identity } = key);
});
afterEach(async () => {
  await parts?.closeFleet();
  await parts?.close();
  parts = undefined;
  rmSync(folder, { recursive: true });
});

const servers = {
  log: () => {
    const prefix = `parts${++opened}.`;
    return { kind: 'kafka', brokers: [running.kafka.bootstrap], replicationFactor: 1, prefix };
  },
  store: () => ({ kind: 'postgres', url: running.postgres.url }),
};
const embedded = { kind: 'embedded' };

async function open(
  targets: readonly TargetName[],
  given: { eventLog: object; store: object },
): Promise<void> {
  const config: Config = configSchema.parse({ ...given, pools: { web: {} } });
  const logger = createLogger({ level: 'fatal' });
  parts = await openParts({ config, dataDir, identity, logger, needs: needsOf(targets) });
}

/** Threads of this process that talk to it. */
const threads = () => process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length;

test('on Kafka and PostgreSQL nothing embedded is opened: no thread, and no file in the data directory', async () => {
  const before = threads();
  await open(TARGET_NAMES, { eventLog: servers.log(), store: servers.store() });
  expect(threads()).toBe(before);
  expect(existsSync(dataDir) ? readdirSync(dataDir) : []).toEqual([]);
});

test('on Kafka events are kept for a day: an ingest that stands still for hours loses none', async () => {
  const eventLog = servers.log();
  await open(['ingest'], { eventLog, store: servers.store() });
  const other = await KafkaEventLog.open(kafkaSettingsSchema.parse(eventLog));
  const specs = topicSpecs({ partitions: 4, dedupeWindowS: 300, executionsRetentionS: 86_400 });
  await expect(other.ensureTopics(specs)).resolves.toBeUndefined();
  await other.close();
});

test.each<[string, readonly TargetName[], () => { eventLog: object; store: object }]>([
  ['an embedded log', ['ingest'], () => ({ eventLog: embedded, store: servers.store() })],
  ['an embedded store', ['ingest'], () => ({ eventLog: servers.log(), store: embedded })],
])('%s is what the data directory holds', async (_, targets, given) => {
  const before = threads();
  await open(targets, given());
  expect(threads()).toBeGreaterThan(before);
  expect(readdirSync(dataDir)).toEqual(['store']);
});

test('a target that needs no store opens none', async () => {
  await open(['router'], { eventLog: servers.log(), store: embedded });
  expect(existsSync(dataDir)).toBe(false);
});
