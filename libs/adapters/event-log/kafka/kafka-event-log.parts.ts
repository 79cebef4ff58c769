import { Socket } from 'node:net';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { startKafka, type Kafka } from '#parts/kafka';
import { eventLogContract } from '../event-log.contract.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { kafkaSettingsSchema } from './kafka-settings.js';
import { othersWrite } from './others-topic.js';

jest.setTimeout(60_000);

/** Shorter than brokers allow by default, so that a dead member is missed soon. */
const SESSION_MS = 1_000;
/** What hangs is waited for as long. */
const MAX_BATCH_MS = 2_000;

let broker: Kafka;
let started = 0;

beforeAll(async () => {
  broker = await startKafka({ properties: { 'group.min.session.timeout.ms': SESSION_MS } });
}, 120_000);
afterAll(() => broker.stop());

eventLogContract('Kafka', async () => {
  const settings = kafkaSettingsSchema.parse({
    kind: 'kafka',
    brokers: [broker.bootstrap],
    prefix: `contract-${started++}.`,
    replicationFactor: 1,
    sessionTimeoutMs: SESSION_MS,
  });
  const wires = new Map<KafkaEventLog, Wire>();
  return {
    maxBatchMs: MAX_BATCH_MS,
    open: async () => {
      const wire = new Wire();
      const log = await KafkaEventLog.open(settings, {
        maxBatchMs: MAX_BATCH_MS,
        socketFactory: wire.factory,
      });
      wires.set(log, wire);
      return log;
    },
    kill: async (log) => {
      wires.get(log as KafkaEventLog)?.cut();
      void log.close();
    },
    othersWrite: (_, topic) => othersWrite(broker.bootstrap, topic),
  };
});

test('a log that closes leaves no connection open, whatever was asked at the same time', async () => {
  const settings = kafkaSettingsSchema.parse({
    kind: 'kafka',
    brokers: [broker.bootstrap],
    prefix: 'closed.',
    replicationFactor: 1,
  });
  const wire = new Wire();
  const log = await KafkaEventLog.open(settings, { socketFactory: wire.factory });
  await log.ensureTopics([{ name: 'in.v1', partitions: 8, retentionMs: 3_600_000, compacted: false }]);
  const seen = Promise.withResolvers<void>();
  await log.subscribe({ group: 'g', topics: ['in.v1'], commits: true, onBatch: async () => seen.resolve() });
  await log.append('in.v1', [{ key: 'k', value: 'v' }]);
  await seen.promise;
  const at = { topic: 'in.v1', offset: 0, maxRecords: 1 };
  await Promise.all(Array.from({ length: 8 }, (_, partition) => log.read({ ...at, partition })));
  expect(wire.open).toBeGreaterThan(3);
  await log.close();
  for (let i = 0; wire.open > 0 && i < 1_000; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(wire.open).toBe(0);
  // Nor does it open one for what is asked, or asked again, from then on.
  await expect(log.append('in.v1', [{ key: 'k', value: 'v' }])).rejects.toThrow(/closed/);
  expect(wire.open).toBe(0);
});

/** The connections of one log, so that it can vanish as a killed process does: without a word. */
class Wire {
  private readonly sockets = new Set<Socket>();
  private isCut = false;

  readonly factory = ({
    host,
    port,
    onConnect,
  }: {
    host: string;
    port: number;
    onConnect: () => void;
  }): Socket => {
    const socket = new Socket();
    this.sockets.add(socket);
    if (this.isCut) process.nextTick(() => socket.destroy(new Error('cut')));
    else socket.connect({ host, port }, onConnect);
    return socket;
  };

  get open(): number {
    return [...this.sockets].filter((socket) => !socket.destroyed).length;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy(new Error('cut'));
  }
}
