import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ConfirmChannel } from 'amqplib';
import { connectTo } from '#adapters/rabbitmq';
import { startRabbitMq, type RabbitMq } from '#parts/rabbitmq';
import { recordSourceContract } from '../record-source.contract.js';
import type { RecordSourceOptions, SourceRecord } from '../record-source.js';
import { queueArgumentsAt } from './queue-arguments.js';
import { RabbitMqSource } from './rabbitmq-source.js';

let rabbit: RabbitMq;
beforeAll(async () => {
  rabbit = await startRabbitMq({ password: 'Grüße aus 東京: 100 %' });
});
afterAll(() => rabbit.stop());

/** A channel for one thing to do; its publishes are confirmed. */
async function ask<T>(what: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await connectTo(rabbit.url);
  try {
    const channel = await connection.createConfirmChannel();
    const answer = await what(channel);
    await channel.waitForConfirms();
    return answer;
  } finally {
    await connection.close();
  }
}
const quorum = { durable: true, arguments: { 'x-queue-type': 'quorum' } };
const messageOf = (record: object) => Buffer.from(JSON.stringify(record));
/** More than RabbitMQ 4 forgives by itself. */
const BROKEN_CONNECTIONS = 25;
const timestamp = () => Math.floor(Date.now() / 1000);

/**
 * Where the data of a new quorum queue lie is on the disk up to a second later than its messages. RabbitMQ 3.10 that is
 * killed in between never elects the queue's leader again.
 */
async function queuesOnDisk(): Promise<void> {
  const folder = join(rabbit.folder, 'data', 'headroom@localhost', 'quorum', 'headroom@localhost');
  const queues = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const areKnown = () => {
    const names = readFileSync(join(folder, 'names.dets'));
    return queues.every(({ name }) => names.includes(name));
  };
  while (!areKnown()) await new Promise((resolve) => setTimeout(resolve, 20));
}

recordSourceContract('RabbitMQ', async () => {
  const queue = `jobs.${randomUUID()}`;
  await ask((channel) => channel.assertQueue(queue, quorum));
  const open = (options: RecordSourceOptions, url = rabbit.url) =>
    new RabbitMqSource({ ...options, url, queue, declare: true, bindings: [] });
  return {
    open,
    openForbidden: (options) => {
      const secret = 'the-wrong-secret';
      const url = rabbit.url.replace(/guest:[^@]+/, `guest:${secret}`);
      return { source: open(options, url), secret, reason: /ACCESS_REFUSED/ };
    },
    send: (records) =>
      ask(async (channel) => {
        for (const record of records)
          channel.sendToQueue(queue, messageOf(record), { persistent: true, timestamp: timestamp() });
      }),
    kept: () => ask(async (channel) => (await channel.checkQueue(queue)).messageCount),
    kill: async () => {
      await queuesOnDisk();
      await rabbit.kill();
    },
    restart: () => rabbit.restart(),
    pause: () => rabbit.pause(),
    resume: () => rabbit.resume(),
  };
});

describe('RabbitMQ', () => {
  const until = async (condition: () => boolean | Promise<boolean>) => {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const observed = (errors: string[]) => ({
    connected: () => undefined,
    disconnected: ({ error }: { error: Error }) => void errors.push(error.message),
    taken: () => undefined,
    notTaken: () => undefined,
  });

  test('the queue is made as a quorum queue and bound; mappings can use what is known of a message', async () => {
    await ask((channel) => channel.assertExchange('platform', 'topic'));
    const received: SourceRecord[] = [];
    const errors: string[] = [];
    const source = new RabbitMqSource({
      url: rabbit.url,
      queue: 'headroom',
      declare: true,
      bindings: [{ exchange: 'platform', routingKey: 'jobs.#' }],
      take: async (records) => void received.push(...records),
      observer: observed(errors),
    });
    source.start();
    await until(() => source.waiting() === 0);
    await ask(async (channel) => {
      channel.publish('platform', 'jobs.etl.done', Buffer.from('{"id":1}'), {
        messageId: 'm-1',
        timestamp: 1_800_000_000,
        headers: { tries: 2, tenant: 'a', table: { x: 1 } },
      });
    });
    await until(() => received.length === 1);
    await source.close();
    expect(received[0]).toEqual({
      text: '{"id":1}',
      about: {
        queue: 'headroom',
        exchange: 'platform',
        routingKey: 'jobs.etl.done',
        headers: { tries: '2', tenant: 'a' },
        messageId: 'm-1',
        timeMs: 1_800_000_000_000,
      },
      place: 'rabbitmq headroom m-1',
    });
    expect(errors).toEqual([]);
    await ask((channel) => {
      const made = queueArgumentsAt(channel.connection.serverProperties.version);
      return channel.assertQueue('headroom', { durable: true, arguments: made }); // rejects when it is another kind
    });
  });

  test('what was held by many connections that broke is not dropped', async () => {
    const received: SourceRecord[] = [];
    const open = () => {
      const source = new RabbitMqSource({
        url: rabbit.url,
        queue: 'unlimited',
        declare: true,
        bindings: [],
        take: async (records) => void received.push(...records),
        observer: observed([]),
      });
      source.start();
      return source;
    };
    const maker = open();
    await until(() => maker.waiting() === 0);
    await maker.close();
    await ask(
      async (channel) => void channel.sendToQueue('unlimited', messageOf({ n: 1 }), { persistent: true }),
    );
    for (let broken = 0; broken < BROKEN_CONNECTIONS; broken++)
      await until(() => ask(async (channel) => (await channel.get('unlimited')) !== false));
    const heir = open();
    await until(() => received.length === 1);
    await heir.close();
    expect(received.map(({ text }) => text)).toEqual(['{"n":1}']);
  });

  test.each([
    ['a queue that must be there and is not', false, 'nowhere', /NOT_FOUND - no queue 'nowhere'/],
    ['a queue of another kind', true, 'classic', /PRECONDITION_FAILED - inequivalent arg 'x-queue-type'/],
  ])('%s is told', async (_name, declare, queue, message) => {
    await ask((channel) => channel.assertQueue('classic', { durable: true }));
    const errors: string[] = [];
    const source = new RabbitMqSource({
      url: rabbit.url,
      queue,
      declare,
      bindings: [],
      take: async () => undefined,
      observer: observed(errors),
    });
    source.start();
    await until(() => errors.length > 1);
    await source.close();
    for (const error of errors) expect(error).toMatch(message);
  });
});
