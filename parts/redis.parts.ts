import { startRedis, type Redis } from '#parts/redis';
import { Redis as Client } from 'ioredis';
import { serverContract } from './server.contract.js';

serverContract({
  part: 'redis',
  start: startRedis,
  address: ({ url }) => url,
  ask: async ({ url }: Redis) => {
    const client = new Client(url);
    try {
      await client.xadd('events', '1-1', 'type', 'completed').catch(() => 'there already');
      return await client.xrange('events', '-', '+');
    } finally {
      await client.quit();
    }
  },
  answer: [['1-1', ['type', 'completed']]],
});
