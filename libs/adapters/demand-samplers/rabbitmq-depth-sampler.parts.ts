import { createServer, connect as dial, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connectTo } from '#adapters/rabbitmq';
import { startRabbitMq, type RabbitMq } from '#parts/rabbitmq';
import { RabbitMqDepths, RabbitMqDepthSampler } from './rabbitmq-depth-sampler.js';

const T = 1_800_000_000_000;
const SPAN = { fromMs: T, toMs: T + 30_000, bucketS: 10 };
let rabbit: RabbitMq;
beforeAll(async () => {
  rabbit = await startRabbitMq({ password: 'Grüße aus 東京: 100 %' });
});
afterAll(() => rabbit.stop());

const sample = (queue: string) =>
  new RabbitMqDepthSampler(new RabbitMqDepths(rabbit.url), queue).sample(SPAN);

/** A queue with so many messages, and what filled it. */
async function filled(queue: string, messages: number) {
  const connection = await connectTo(rabbit.url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  for (let i = 0; i < messages; i++) channel.sendToQueue(queue, Buffer.from('{}'), { persistent: true });
  await channel.waitForConfirms();
  return { connection, channel };
}

test('the messages that wait are the backlog at the end of the span; those being served are none', async () => {
  const { connection, channel } = await filled('tasks', 5);
  expect(await sample('tasks')).toEqual([{ startMs: T + 20_000, backlog: 5 }]);
  await channel.get('tasks');
  expect(await sample('tasks')).toEqual([{ startMs: T + 20_000, backlog: 4 }]);
  await connection.close();
});

test('a queue that is not there, and a broker that is not, are errors', async () => {
  await expect(sample('nowhere')).rejects.toThrow(/no queue 'nowhere'/);
  const nobody = new RabbitMqDepthSampler(new RabbitMqDepths('amqp://127.0.0.1:1'), 'tasks');
  await expect(nobody.sample(SPAN)).rejects.toThrow(/ECONNREFUSED/);
});

/** The broker behind an address of its own, which counts the connections to it. */
async function counted() {
  const { hostname, port } = new URL(rabbit.url);
  const sockets: Socket[] = [];
  const proxy = createServer((socket) => {
    const onward = dial(Number(port), hostname);
    for (const end of [socket, onward]) end.on('error', () => undefined);
    socket.pipe(onward).pipe(socket);
    sockets.push(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const url = rabbit.url.replace(`:${port}`, `:${(proxy.address() as AddressInfo).port}`);
  return {
    url,
    opened: () => sockets.length,
    open: () => sockets.filter(({ destroyed }) => !destroyed).length,
    close: () => proxy.close(),
  };
}

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
};

test('the pools of a source are asked for over one connection, also beside a queue that is not there', async () => {
  const { connection } = await filled('many', 3);
  const broker = await counted();
  const depths = new RabbitMqDepths(broker.url);
  for (let round = 0; round < 5; round++) {
    const asked = ['many', 'nowhere', 'many'].map((queue) => depths.of(queue));
    const answers = await Promise.allSettled(asked);
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  }
  expect(broker.opened()).toBe(1);
  await until(() => broker.open() === 0);
  expect(await depths.of('many')).toBe(3);
  expect(broker.opened()).toBe(2);
  await until(() => broker.open() === 0);
  broker.close();
  await connection.close();
});

test('a broker that does not answer, or was away, is asked anew', async () => {
  const { connection } = await filled('kept', 2);
  connection.on('error', () => undefined);
  const depths = new RabbitMqDepths(rabbit.url);
  expect(await depths.of('kept')).toBe(2);
  rabbit.pause();
  await expect(depths.of('kept')).rejects.toThrow('rabbitmq: queue kept: must be told within 5000 ms');
  rabbit.resume();
  expect(await depths.of('kept')).toBe(2);
  await rabbit.restart();
  expect(await depths.of('kept')).toBe(2);
});
