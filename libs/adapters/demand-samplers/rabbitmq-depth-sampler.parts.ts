import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connect } from 'amqplib';
import { startRabbitMq, type RabbitMq } from '#parts/rabbitmq';
import { RabbitMqDepthSampler } from './rabbitmq-depth-sampler.js';

const T = 1_800_000_000_000;
let rabbit: RabbitMq;
beforeAll(async () => {
  rabbit = await startRabbitMq();
});
afterAll(() => rabbit.stop());

const sample = (queue: string) =>
  new RabbitMqDepthSampler({ url: rabbit.url, queue }).sample({ fromMs: T, toMs: T + 30_000, bucketS: 10 });

test('the messages that wait are the backlog at the end of the span; those being served are none', async () => {
  const connection = await connect(rabbit.url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('tasks', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  for (let i = 0; i < 5; i++) channel.sendToQueue('tasks', Buffer.from('{}'), { persistent: true });
  await channel.waitForConfirms();
  expect(await sample('tasks')).toEqual([{ startMs: T + 20_000, backlog: 5 }]);
  await channel.get('tasks');
  expect(await sample('tasks')).toEqual([{ startMs: T + 20_000, backlog: 4 }]);
  await connection.close();
});

test('a queue that is not there, and a broker that is not, are errors', async () => {
  await expect(sample('nowhere')).rejects.toThrow(/no queue 'nowhere'/);
  const nobody = new RabbitMqDepthSampler({ url: 'amqp://127.0.0.1:1', queue: 'tasks' });
  await expect(nobody.sample({ fromMs: T, toMs: T + 10_000, bucketS: 10 })).rejects.toThrow(/ECONNREFUSED/);
});
