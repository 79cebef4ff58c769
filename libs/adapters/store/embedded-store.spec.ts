import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { backupContract } from './backup/backup.contract.js';
import { openEmbeddedStore, UPKEEP } from './embedded-store.js';
import { DataDirectoryInUse, EmbeddedPostgres } from './pglite/embedded-postgres.js';
import { makeDatabase, NEW_DATABASE } from './pglite/make-database.js';
import { pgDriverOver } from './pglite/pg-driver.js';
import { migrationsContract } from './migrations/migrations.contract.js';
import { retentionContract } from './partitions/retention.contract.js';
import { queryPlansContract } from './query-plans.contract.js';
import { storeContract } from './store.contract.js';

const dataDir = mkdtempSync(join(tmpdir(), 'headroom-store-'));
afterAll(() => rmSync(dataDir, { recursive: true }));

storeContract('embedded', () => openEmbeddedStore({ dataDir }));
retentionContract('embedded', () => openEmbeddedStore({ dataDir }));

const backedUp = mkdtempSync(join(tmpdir(), 'headroom-store-'));
afterAll(() => rmSync(backedUp, { recursive: true }));
const emptied = mkdtempSync(join(tmpdir(), 'headroom-store-'));
afterAll(() => rmSync(emptied, { recursive: true }));
async function emptyEngine(): Promise<EmbeddedPostgres> {
  const engine = await EmbeddedPostgres.open({ dataDir: emptied });
  await engine.query('drop schema public cascade; create schema public');
  return engine;
}
migrationsContract('embedded', async () => {
  const engine = await emptyEngine();
  return { connection: { driver: pgDriverOver(engine) }, close: () => engine.close() };
});
const emptyStore = async () => {
  await (await emptyEngine()).close();
  return openEmbeddedStore({ dataDir: emptied });
};
queryPlansContract('embedded', { open: emptyStore, upkeep: UPKEEP });
backupContract('embedded', { source: () => openEmbeddedStore({ dataDir: backedUp }), target: emptyStore });

test('a second opener of the same data directory is refused', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-store-'));
  const store = await openEmbeddedStore({ dataDir: directory });
  await expect(openEmbeddedStore({ dataDir: directory })).rejects.toThrow(DataDirectoryInUse);
  await store.close();
  rmSync(directory, { recursive: true });
}, 30_000);

test('an opening, and the making of a database, that take too long end with what was too late', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-store-'));
  const opening = EmbeddedPostgres.open({ dataDir: join(directory, 'opened'), openingDeadlineMs: 1 });
  await expect(opening).rejects.toThrow('its thread must be ready within 1 ms, was not');
  const made = join(directory, 'postgres');
  const original = join(directory, 'none');
  await expect(makeDatabase(made, { original, deadlineMs: 1 })).rejects.toThrow(
    'its database must be made within 1 ms, was not',
  );
  expect(existsSync(made)).toBe(false);
  rmSync(directory, { recursive: true });
}, 30_000);

test('a new database is a copy of the one that the build has made, or is made from nothing where there is none', async () => {
  expect(existsSync(join(NEW_DATABASE, 'PG_VERSION'))).toBe(true);
  const directory = mkdtempSync(join(tmpdir(), 'headroom-store-'));
  await makeDatabase(join(directory, 'postgres'), { original: join(directory, 'none') });
  const store = await openEmbeddedStore({ dataDir: directory });
  expect(await store.dataSource.query('select 1 as one')).toEqual([{ one: 1 }]);
  await store.close();
  rmSync(directory, { recursive: true });
}, 60_000);

test('an engine that does not answer is dead, says so, and lets go of its directory', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-store-'));
  const engine = await EmbeddedPostgres.open({ dataDir: directory, requestDeadlineMs: 300 });
  const slow = engine.query('select pg_sleep(60)');
  await expect(slow).rejects.toThrow('must answer within 300 ms');
  expect((await engine.died).message).toContain('must answer within 300 ms');
  await expect(engine.query('select 1')).rejects.toThrow('must answer within 300 ms');
  await engine.close();
  const store = await openEmbeddedStore({ dataDir: directory });
  let died = false;
  void store.died.then(() => (died = true));
  await store.close();
  expect(died).toBe(false);
  rmSync(directory, { recursive: true });
}, 30_000);

test('a start that was killed while it made the database leaves nothing in the way of the next', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-store-'));
  const unfinished = join(directory, 'postgres.new-x');
  mkdirSync(unfinished);
  writeFileSync(join(unfinished, 'PG_VERSION'), '17');
  const store = await openEmbeddedStore({ dataDir: directory });
  expect(await store.dataSource.query('select 1 as one')).toEqual([{ one: 1 }]);
  expect(existsSync(unfinished)).toBe(false);
  await store.close();
  rmSync(directory, { recursive: true });
}, 30_000);
