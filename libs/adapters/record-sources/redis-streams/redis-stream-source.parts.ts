import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis as Client } from 'ioredis';
import { startRedis, type Redis } from '#parts/redis';
import { recordSourceContract } from '../record-source.contract.js';
import type { RecordSourceOptions, SourceRecord } from '../record-source.js';
import { RedisStreamSource, type RedisStreamSourceOptions } from './redis-stream-source.js';

const PASSWORD = 'the-right-password';
let redis: Redis;
beforeAll(async () => {
  redis = await startRedis({ settings: { requirepass: PASSWORD, appendfsync: 'always' } });
});
afterAll(() => redis.stop());

const address = (password: string) => redis.url.replace('redis://', `redis://:${password}@`);
const group = 'headroom';

/** A connection for one thing to do. */
async function ask<T>(what: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(address(PASSWORD));
  try {
    return await what(client);
  } finally {
    client.disconnect();
  }
}

async function kept(streams: readonly string[]): Promise<number> {
  const groups = await ask((client) => Promise.all(streams.map((stream) => client.xinfo('GROUPS', stream))));
  const fields = (groups as (string | number)[][][]).map(([own = []]) => own);
  const valueOf = (own: (string | number)[], name: string) => Number(own[own.indexOf(name) + 1]);
  return fields.reduce((sum, own) => sum + valueOf(own, 'pending') + valueOf(own, 'lag'), 0);
}

recordSourceContract('Redis Streams', async () => {
  const stream = `jobs:${randomUUID()}`;
  // The group is there before anything is sent, as it is from the first start on.
  await ask((client) => client.xgroup('CREATE', stream, group, '$', 'MKSTREAM'));
  let members = 0;
  const open = (options: RecordSourceOptions, password = PASSWORD) =>
    new RedisStreamSource({
      ...options,
      url: address(password),
      streams: [stream],
      group,
      consumer: `member-${members++}`,
      from: 'new',
      claimIdleMs: 1_000,
    });
  return {
    open,
    openForbidden: (options) => {
      const secret = 'the-wrong-secret';
      return { source: open(options, secret), secret, reason: /WRONGPASS/ };
    },
    send: (records) =>
      ask(async (client) => {
        const pipeline = client.pipeline();
        for (const record of records) {
          const fields = Object.entries(record).map(([name, value]) => [name, String(value)]);
          pipeline.xadd(stream, '*', ...fields.flat());
        }
        await pipeline.exec();
      }),
    kept: () => kept([stream]),
    kill: () => redis.kill(),
    restart: () => redis.restart(),
    pause: () => redis.pause(),
    resume: () => redis.resume(),
  };
});

describe('Redis Streams', () => {
  const received: SourceRecord[] = [];
  function openOn(streams: string[], more: Partial<RedisStreamSourceOptions> = {}) {
    received.length = 0;
    const source = new RedisStreamSource({
      url: address(PASSWORD),
      streams,
      group,
      consumer: 'me',
      from: 'new',
      take: async (records) => void received.push(...records),
      observer: {
        connected: () => undefined,
        disconnected: ({ error }) => {
          throw error;
        },
        taken: () => undefined,
        notTaken: () => undefined,
      },
      ...more,
    });
    source.start();
    return source;
  }
  const until = async (condition: () => boolean | Promise<boolean>) => {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const add = (stream: string, ...fields: string[]) => ask((client) => client.xadd(stream, '*', ...fields));

  test('several streams, whose names and times mappings can use; a new group begins where it is told', async () => {
    const streams = ['bull:images:events', 'bull:mail:events'];
    for (const stream of streams) await add(stream, 'event', 'old');
    const source = openOn(streams, { from: 'beginning' });
    await until(() => received.length === 2);
    const id = await add('bull:mail:events', 'event', 'waiting', 'jobId', '7');
    await until(() => received.length === 3);
    expect(received[2]).toEqual({
      text: '{"event":"waiting","jobId":"7"}',
      about: {
        stream: 'bull:mail:events',
        parts: ['bull', 'mail', 'events'],
        id,
        timeMs: Number(id!.split('-')[0]),
      },
      place: `redis bull:mail:events ${id}`,
    });
    await source.close();
    expect(await kept(streams)).toBe(0);
  });

  test('an entry that was trimmed away while it was held does not come, and is not waited for', async () => {
    const stream = 'trimmed';
    await ask((client) => client.xgroup('CREATE', stream, group, '$', 'MKSTREAM'));
    await add(stream, 'n', '1');
    await add(stream, 'n', '2');
    await ask((client) => client.xreadgroup('GROUP', group, 'me', 'STREAMS', stream, '>'));
    await ask((client) => client.xtrim(stream, 'MAXLEN', 1));
    const source = openOn([stream]);
    await until(() => received.length === 1);
    await source.close();
    expect(received[0]?.text).toBe('{"n":"2"}');
    expect(await kept([stream])).toBe(0);
  });

  const members = async (stream: string) => {
    const found = (await ask((client) => client.xinfo('CONSUMERS', stream, group))) as (string | number)[][];
    const valueOf = (own: (string | number)[], name: string) => own[own.indexOf(name) + 1];
    return found.map((own) => ({ name: valueOf(own, 'name'), idleMs: Number(valueOf(own, 'idle')) }));
  };

  test('a member that is gone leaves what it held to others, and no name; nor does one that closes', async () => {
    const stream = 'shared';
    await ask((client) => client.xgroup('CREATE', stream, group, '$', 'MKSTREAM'));
    await add(stream, 'n', '1');
    await ask((client) => client.xreadgroup('GROUP', group, 'gone', 'STREAMS', stream, '>'));
    const source = openOn([stream], { claimIdleMs: 50, forgetIdleMs: 50 });
    await until(() => received.length === 1);
    await until(async () => (await members(stream)).every(({ name }) => name === 'me'));
    await source.close();
    expect(await members(stream)).toEqual([]);
  });

  test('a member that lives and has nothing to read is not silent', async () => {
    const stream = 'quiet';
    const source = openOn([stream]);
    await until(() => source.waiting() === 0);
    const beganMs = performance.now();
    // Longer than between two looks.
    await until(() => performance.now() - beganMs > 8_000);
    expect(await members(stream)).toEqual([{ name: 'me', idleMs: expect.any(Number) }]);
    expect((await members(stream))[0]!.idleMs).toBeLessThan(7_000);
    await source.close();
  });

  test('a stream that is deleted while it is read is read from its start once it is there again', async () => {
    const stream = 'obliterated';
    const errors: string[] = [];
    const source = openOn([stream], {
      observer: {
        connected: () => undefined,
        disconnected: ({ error }) => void errors.push(error.message),
        taken: () => undefined,
        notTaken: () => undefined,
      },
    });
    await until(() => source.waiting() === 0);
    await ask((client) => client.multi().del(stream).xadd(stream, '*', 'n', '1').exec());
    await until(() => received.length === 1);
    await add(stream, 'n', '2');
    await until(() => received.length === 2);
    await source.close();
    expect(received.map(({ text }) => text)).toEqual(['{"n":"1"}', '{"n":"2"}']);
    expect(errors.join()).toMatch(/NOGROUP/);
    expect(await kept([stream])).toBe(0);
  });
});
