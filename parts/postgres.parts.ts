import { startPostgres, type Postgres } from '#parts/postgres';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { serverContract } from './server.contract.js';

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

serverContract({
  part: 'postgres',
  start: startPostgres,
  address: ({ url }) => url,
  ask: ({ url }) => query(url, 'SELECT 6 * 7 AS answer'),
  answer: [{ answer: 42 }],
});

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres({ settings: { work_mem: '7MB' } });
});
afterAll(() => postgres?.stop());

test('settings reach it; what was committed is on the disk and there after SIGKILL', async () => {
  expect(await query(postgres.url, 'SHOW work_mem')).toEqual([{ work_mem: '7MB' }]);
  expect(await query(postgres.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
  await query(postgres.url, 'CREATE TABLE kept AS SELECT 1 AS value');
  await postgres.kill();
  await postgres.restart();
  expect(await query(postgres.url, 'SELECT value FROM kept')).toEqual([{ value: 1 }]);
});
