import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { unprivileged } from '#parts/command';
import { startPostgres, type Postgres } from '#parts/postgres';
import { newDataSource } from '../data-source.js';
import { storeSchema, type PostgresSettings } from '../store-settings.js';
import type { Store } from '../store.js';
import { openPostgresStore } from './postgres-store.js';
import { StoreUnavailable } from './store-unavailable.js';

const DEADLINE_MS = 60_000;
const SECRET = 'correct horse battery staple';

// Who may come in how: `app` as he likes, `named` with a password, `sealed` with a password and encrypted.
const ACCESS = `
host    all app    127.0.0.1/32 trust
host    all named  127.0.0.1/32 scram-sha-256
hostssl all sealed 127.0.0.1/32 scram-sha-256
`;

const folder = mkdtempSync(join(tmpdir(), 'headroom-access-'));
let server: Postgres;
let store: Store | undefined;
beforeAll(async () => {
  chmodSync(folder, 0o755);
  for (const name of ['server', 'other']) makeCertificate(name);
  const settings = {
    hba_file: readableByServer('access.conf', ACCESS),
    ssl: 'on',
    ssl_cert_file: join(folder, 'server.pem'),
    ssl_key_file: join(folder, 'server.key'),
  };
  server = await startPostgres({ settings });
  for (const role of ['named', 'sealed']) {
    await asApp(`create role ${role} login password '${SECRET}'`);
    await asApp(`create database ${role} owner ${role}`);
  }
  await asApp('create database foreign_one');
}, DEADLINE_MS);
afterEach(async () => {
  await store?.close();
  store = undefined;
}, DEADLINE_MS);
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
}, DEADLINE_MS);

/** The server runs as another user where the tests run as root. */
function ownedByServer(path: string): string {
  const user = unprivileged('postgres');
  if (user !== undefined) chownSync(path, user.uid, user.gid);
  return path;
}

function readableByServer(name: string, text: string): string {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
  return ownedByServer(join(folder, name));
}

/** Self-signed, for the name `name.test`. */
function makeCertificate(name: string): void {
  const [key, pem] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
  const subject = ['-subj', `/CN=${name}.test`, '-addext', `subjectAltName=DNS:${name}.test`];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
      .concat(['-keyout', key, '-out', pem])
      .concat(subject),
    { stdio: 'ignore' },
  );
  chmodSync(key, 0o600);
  ownedByServer(key);
}

async function asApp(sql: string): Promise<unknown> {
  const dataSource = await newDataSource({ url: server.url }).initialize();
  try {
    return await dataSource.query<unknown>(sql);
  } finally {
    await dataSource.destroy();
  }
}

function secretFile(text: string): string {
  const file = join(folder, 'password');
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

function settingsOf(user: string, more: object = {}, database = user): PostgresSettings {
  const { port } = new URL(server.url);
  const url = `postgres://${user}@127.0.0.1:${port}/${database}`;
  return storeSchema.parse({ kind: 'postgres', url, ...more }) as PostgresSettings;
}

async function refusalOf(settings: PostgresSettings): Promise<StoreUnavailable> {
  const error: unknown = await openPostgresStore(settings).then(
    (opened) => {
      store = opened;
      return 'opened';
    },
    (refused: unknown) => refused,
  );
  expect(error).toBeInstanceOf(StoreUnavailable);
  expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain(SECRET);
  return error as StoreUnavailable;
}

test(
  'the password comes from a file, and a new one without a restart',
  async () => {
    const passwordFile = secretFile(`${SECRET}\n`);
    store = await openPostgresStore(settingsOf('named', { passwordFile }));
    expect(inspect(store, { depth: 12 })).not.toContain(SECRET);
    await asApp(`alter role named password 'another'`);
    secretFile('another\n');
    await asApp(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'named'`);
    const answer = async () => store?.dataSource.query('select current_user as me').catch(() => undefined);
    // The connections that were there may fail once; the next ones know the new password.
    for (let tries = 0; tries < 20 && (await answer()) === undefined; tries++);
    expect(await answer()).toEqual([{ me: 'named' }]);
    await asApp(`alter role named password '${SECRET}'`);
  },
  DEADLINE_MS,
);

test('who is not let in is told what to look at, and nothing secret', async () => {
  const wrong = await refusalOf(settingsOf('named', { passwordFile: secretFile(`${SECRET}!`) }));
  expect(wrong).toMatchObject({ reason: 'not-allowed', hint: expect.stringContaining('pg_hba.conf') });
  expect(wrong.message).toMatch(/^store: PostgreSQL at 127.0.0.1:\d+\/named must let the user in, got: /);
  const passwordFile = join(folder, 'nowhere');
  expect(await refusalOf(settingsOf('named', { passwordFile }))).toMatchObject({
    reason: 'unusable',
    message: `store.passwordFile: must be a readable file, got ENOENT of ${passwordFile}`,
  });
});

test('what is missing is named: the server, the database, the right to make tables', async () => {
  const away = { ...settingsOf('app'), url: 'postgres://app@127.0.0.1:1/app' };
  expect(await refusalOf(away)).toMatchObject({
    reason: 'unreachable',
    message: 'store: PostgreSQL at 127.0.0.1:1/app must be reachable, got: connect ECONNREFUSED 127.0.0.1:1',
  });
  expect(await refusalOf(settingsOf('app', {}, 'nothing'))).toMatchObject({
    reason: 'unusable',
    hint: 'create it, with the user as its owner',
  });
  const passwordFile = secretFile(SECRET);
  expect(await refusalOf(settingsOf('named', { passwordFile }, 'foreign_one'))).toMatchObject({
    reason: 'not-allowed',
    hint: 'make the user owner of the database',
  });
});

test(
  'an encrypted connection checks who the server is',
  async () => {
    const passwordFile = secretFile(SECRET);
    const sealed = (tls?: object) => settingsOf('sealed', { passwordFile, ...(tls && { tls }) });
    const caFile = join(folder, 'server.pem');
    store = await openPostgresStore(sealed({ caFile, serverName: 'server.test' }));
    expect(await store.dataSource.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([
      { ssl: true },
    ]);
    await store.close();
    store = undefined;
    expect((await refusalOf(sealed())).reason).toBe('not-allowed');
    expect((await refusalOf(sealed({ caFile }))).message).toContain('does not match certificate');
    const other = join(folder, 'other.pem');
    expect((await refusalOf(sealed({ caFile: other, serverName: 'server.test' }))).message).toMatch(
      /self-signed certificate/,
    );
  },
  DEADLINE_MS,
);
