import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { startKafka, type Kafka } from '#parts/kafka';
import { eventLogContract } from '../event-log.contract.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { kafkaSettingsSchema } from './kafka-settings.js';
import { othersWrite } from './others-topic.js';
import { NotByThisClient, PlatformaticEventLog } from './platformatic-event-log.js';

jest.setTimeout(60_000);

const SESSION_MS = 1_000;
/** What hangs is waited for as long. */
const MAX_BATCH_MS = 2_000;

let broker: Kafka;
let started = 0;

beforeAll(async () => {
  broker = await startKafka({ properties: { 'group.min.session.timeout.ms': SESSION_MS } });
}, 120_000);
afterAll(() => broker.stop());

const newSettings = () =>
  kafkaSettingsSchema.parse({
    kind: 'kafka',
    brokers: [broker.bootstrap],
    prefix: `second-${started++}.`,
    replicationFactor: 1,
    sessionTimeoutMs: SESSION_MS,
  });

eventLogContract(
  'Kafka by the second client',
  async () => {
    const settings = newSettings();
    return {
      maxBatchMs: MAX_BATCH_MS,
      open: () => PlatformaticEventLog.open(settings, { maxBatchMs: MAX_BATCH_MS }),
      kill: (log) => log.close(),
      othersWrite: (_, topic) => othersWrite(broker.bootstrap, topic),
    };
  },
  { commits: false },
);

test('records of transactions are refused, not handed out wrongly', async () => {
  const settings = newSettings();
  const log = await KafkaEventLog.open(settings);
  const second = await PlatformaticEventLog.open(settings);
  const topic = { name: 't.v1', partitions: 1, retentionMs: 3_600_000, compacted: false };
  await log.ensureTopics([topic]);
  await second.ensureTopics([topic]);
  const member = await log.subscribe({
    group: 'g',
    topics: ['t.v1'],
    commits: true,
    onBatch: async () => undefined,
  });
  await member.commit({
    outputs: [{ topic: 't.v1', records: [{ key: 'k', value: 'v' }] }],
    offsets: [{ topic: 't.v1', partition: 0, offset: 0 }],
  });
  const at = { topic: 't.v1', partition: 0, offset: 0, maxRecords: 9 };
  while ((await log.read(at)).length === 0);
  await expect(second.read(at)).rejects.toThrow(NotByThisClient);
  await second.close();
  await log.close();
});
