import { readFileSync } from 'node:fs';
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

const LOST = /Connection terminated|ECONNRESET/;

test('pause and kill reach backends that compute', async () => {
  const [busy, patient] = [
    new Client(postgres.url),
    new Client({ connectionString: postgres.url, connectionTimeoutMillis: 500 }),
  ];
  for (const client of [busy, patient]) client.on('error', () => undefined); // they are to lose the server
  await busy.connect();
  const computing = busy.query('DO $$ BEGIN LOOP END LOOP; END $$');
  postgres.pause();
  await expect(patient.connect()).rejects.toThrow('timeout');
  postgres.resume();
  await Promise.all([expect(computing).rejects.toThrow(LOST), postgres.kill()]);
  await postgres.restart(); // it refuses to start while a backend of its data lives
  expect(await query(postgres.url, 'SELECT value FROM kept')).toEqual([{ value: 1 }]);
});

test('killed and stopped, it leaves no shared memory', async () => {
  const { pid } = postgres;
  expect(creatorsOfSharedMemory()).toContain(pid);
  await postgres.kill();
  await postgres.stop();
  expect(creatorsOfSharedMemory()).not.toContain(pid);
});

/** Linux' /proc/sysvipc/shm: `key shmid perms size cpid …`. */
function creatorsOfSharedMemory(): number[] {
  const segments = readFileSync('/proc/sysvipc/shm', 'utf8').trim().split('\n').slice(1);
  return segments.map((line) => Number(line.trim().split(/\s+/)[4]));
}
