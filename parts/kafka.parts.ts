import { freePorts } from '#parts/free-ports';
import { startKafka, type Kafka } from '#parts/kafka';
import { startToxiproxy, type ToxicProxy, type Toxiproxy } from '#parts/toxiproxy';
import { Kafka as Client, logLevel } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { serverContract } from './server.contract.js';

const TOPIC = 'executions';
const clientOf = (address: string, more: object = {}) =>
  new Client({ brokers: [address], logLevel: logLevel.NOTHING, ...more });

/** Sends one record; resolves to how many the topic has then. */
async function send(client: Client, topic: string, value = 'completed'): Promise<number> {
  const [admin, producer] = [client.admin(), client.producer({ idempotent: true })];
  try {
    await Promise.all([admin.connect(), producer.connect()]);
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true });
    await producer.send({ topic, messages: [{ value }] });
    const [partition] = await admin.fetchTopicOffsets(topic);
    return Number(partition?.high);
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  }
}

serverContract({
  part: 'kafka',
  start: startKafka,
  address: ({ bootstrap }) => bootstrap,
  ask: async ({ bootstrap }) => (await send(clientOf(bootstrap), TOPIC)) > 0,
  answer: true,
});

const [name, password] = ['alice', 'opens'];
const ranInside: string[] = [];
let kafka: Kafka;
let toxiproxy: Toxiproxy;
let proxy: ToxicProxy;
beforeAll(async () => {
  const [advertisedPort] = (await freePorts(1)) as [number];
  kafka = await startKafka({
    properties: { 'message.max.bytes': 2000 },
    listeners: { SASL: { protocol: 'SASL_PLAINTEXT' }, PROXIED: { protocol: 'PLAINTEXT', advertisedPort } },
    scramUsers: [{ name, password, mechanism: 'SCRAM-SHA-256' }],
    inside: (command) => {
      ranInside.push(command.find((word) => word.startsWith('kafka.')) as string);
      return command;
    },
  });
  toxiproxy = await startToxiproxy();
  proxy = await toxiproxy.proxy('kafka', kafka.listeners['PROXIED'] as string, advertisedPort);
});
afterAll(async () => {
  await toxiproxy?.stop();
  await kafka?.stop();
});

test('format and broker run inside what they are told to', () => {
  expect(ranInside).toEqual(['kafka.tools.StorageTool', 'kafka.Kafka']);
});

test('clients of an advertised port stay behind its proxy', async () => {
  const client = clientOf(proxy.address, { requestTimeout: 1000, retry: { retries: 1 } });
  expect(await send(client, 'proxied')).toBe(1);
  await proxy.cut();
  await expect(send(client, 'proxied')).rejects.toThrow('ECONNREFUSED');
  await proxy.join();
  expect(await send(client, 'proxied')).toBe(2);
});

test('records stay over an orderly restart and SIGKILL', async () => {
  const client = clientOf(kafka.bootstrap);
  expect(await send(client, 'kept')).toBe(1);
  await kafka.restart();
  expect(await send(client, 'kept')).toBe(2);
  await kafka.kill();
  await kafka.restart();
  expect(await send(client, 'kept')).toBe(3);
});

test('paused it keeps connections and answers nothing, resumed it goes on', async () => {
  const admin = clientOf(kafka.bootstrap, { requestTimeout: 500, retry: { retries: 0 } }).admin();
  await admin.connect();
  kafka.pause();
  await expect(admin.fetchTopicMetadata()).rejects.toThrow('Request Metadata');
  kafka.resume();
  await admin.disconnect();
  expect(await send(clientOf(kafka.bootstrap), 'resumed')).toBe(1);
});

test('properties reach it: a record too large is refused', async () => {
  await expect(send(clientOf(kafka.bootstrap), TOPIC, 'x'.repeat(3000))).rejects.toMatchObject({
    type: 'MESSAGE_TOO_LARGE',
  });
});

test('a listener of its own asks for the password', async () => {
  const saslOf = (password: string) => ({
    sasl: { mechanism: 'scram-sha-256', username: name, password },
  });
  const address = kafka.listeners['SASL'] as string;
  expect(await send(clientOf(address, saslOf(password)), 'signed')).toBe(1);
  await expect(send(clientOf(address, saslOf('guess')), 'signed')).rejects.toThrow('Authentication failed');
});
