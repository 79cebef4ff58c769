import { expect, test } from '@jest/globals';
import { storeSchema } from './store-settings.js';

const problemsOf = (settings: object) =>
  storeSchema.safeParse(settings).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
const postgres = (more: object) => ({ kind: 'postgres', url: 'postgres://app@db/headroom', ...more });

test('a server needs no more than its address', () => {
  expect(storeSchema.parse(postgres({}))).toEqual({
    kind: 'postgres',
    url: 'postgres://app@db/headroom',
    maxConnections: 10,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 30_000,
    lockTimeoutMs: 10_000,
    idleTimeoutMs: 60_000,
  });
  expect(problemsOf({ kind: 'embedded' })).toBeUndefined();
});

test.each([
  ['postgres://app:secret@db/headroom', 'a url without a password (it belongs into passwordFile)'],
  ['postgres://db/headroom', 'a url with a user'],
  ['postgres://app@db', 'a url with a database'],
  ['postgres://app@db/headroom?sslmode=disable', 'a url without ? and #: settings have keys of their own'],
  ['mysql://app@db/headroom', 'postgres://user@host:5432/database'],
  ['db/headroom', 'postgres://user@host:5432/database'],
])('%s', (url, rule) => {
  expect(problemsOf(postgres({ url }))).toEqual([`url: ${rule}`]);
});

test('a certificate of the client needs its key', () => {
  expect(problemsOf(postgres({ tls: { certFile: 'client.pem' } }))).toEqual([
    'tls.keyFile: together with certFile, or neither',
  ]);
  expect(problemsOf(postgres({ tls: { verify: false } }))).toHaveLength(1);
});

test('every wait has a bound', () => {
  for (const key of ['connectTimeoutMs', 'statementTimeoutMs', 'lockTimeoutMs', 'idleTimeoutMs'])
    for (const value of [0, -1, 1e9]) expect(problemsOf(postgres({ [key]: value }))).toHaveLength(1);
});
