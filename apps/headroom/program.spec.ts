import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openLocalIdentity } from '#adapters/identity';
import { createLogger } from '#adapters/telemetry';
import { configSchema } from './config.js';
import { openParts, type Parts, type PartsOptions } from './parts.js';
import { startOn, type Program } from './program.js';
import { needsOf } from './targets.js';

let dataDir: string;
let parts: Parts;
let program: Program;
let token: string;
/** The program's log so far. */
const logged: string[] = [];

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-program-'));
  const opened = await openLocalIdentity(dataDir, { create: true });
  if (!opened.ok) throw new Error(opened.problem);
  const { identity } = opened;
  const port = await freePort();
  const config = configSchema.parse({ api: { host: '127.0.0.1', port }, pools: { web: {} } });
  const logger = createLogger({ level: 'info', destination: { write: (line) => void logged.push(line) } });
  const targets = ['ingest', 'autoscaler'] as const;
  const needs = needsOf(targets);
  const options: PartsOptions = { config, dataDir, identity, logger, needs, housekeepingMs: 1000 };
  parts = await openParts(options);
  program = await startOn(parts, { ...options, targets, version: '0', proofOf: () => undefined });
  const scopes = ['metrics:read', 'policies:write', 'policies:read', 'pools:read'] as const;
  ({ token } = await identity.signToken({ scopes, lifetimeS: 60, subject: 'spec' }));
}, 30_000);
afterAll(async () => {
  await program.stop();
  rmSync(dataDir, { recursive: true });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function send(method: string, path: string, headers: Record<string, string> = {}, body?: object) {
  const answer = await fetch(`${program.urls.api}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, etag: answer.headers.get('etag') ?? '', text: await answer.text() };
}
const policy = { mode: 'observe' };

test('/metrics answers although the log does not; only the lag is not told', async () => {
  const lag = 'headroom_consumer_lag_seconds{group="ingest"}';
  expect((await send('GET', '/metrics')).text).toContain(lag);
  const { log } = parts;
  const original = log.lag;
  log.lag = () => Promise.reject(new Error('no engine'));
  const answer = await send('GET', '/metrics');
  expect(answer.status).toBe(200);
  expect(answer.text).not.toContain(lag);
  log.lag = original;
});

test('rounds of the event log’s housekeeping are counted among the loops', async () => {
  const counted = /^headroom_loop_runs_total\{loop="log-housekeeping",outcome="(ran|overran)"\} [1-9]/m;
  let page = '';
  while (!counted.test(page)) page = (await send('GET', '/metrics')).text;
  expect(page).not.toContain('loop="log-housekeeping",outcome="failed"');
});

test('the policy of a pool of the configuration cannot be deleted: a restart would make it again', async () => {
  const answer = await send('DELETE', '/v1/policies/web', { 'if-match': '*' });
  expect(answer).toMatchObject({
    status: 409,
    text: expect.stringContaining('urn:headroom:pool-configured'),
  });
  expect(await send('GET', '/v1/policies/web')).toMatchObject({ status: 200 });
});

test('a change names what it replaces: one tag, several, or any; not also what must not be there', async () => {
  const put = (headers: Record<string, string>) => send('PUT', '/v1/policies/other', headers, policy);
  expect(await put({ 'if-match': '*' })).toMatchObject({ status: 412 });
  const created = await put({ 'if-none-match': '*' });
  expect(created).toMatchObject({ status: 200 });
  expect(await put({ 'if-none-match': '*', 'if-match': created.etag })).toMatchObject({
    status: 400,
    text: expect.stringContaining('urn:headroom:contradictory-conditions'),
  });
  const replaced = await put({ 'if-match': `"other", ${created.etag}` });
  expect(replaced).toMatchObject({ status: 200 });
  expect(await put({ 'if-match': `${created.etag}, W/${replaced.etag}` })).toMatchObject({ status: 412 });
  expect(await put({ 'if-match': '*' })).toMatchObject({ status: 200 });
  const remove = (ifMatch: string) => send('DELETE', '/v1/policies/other', { 'if-match': ifMatch });
  expect(await remove(replaced.etag)).toMatchObject({ status: 412 });
  expect(await remove('*')).toMatchObject({ status: 204 });
  expect(await remove('*')).toMatchObject({ status: 412 });
});

test('who changed a policy is in the log', () => {
  const changes = logged.map((line) => JSON.parse(line)).filter(({ subject }) => subject === 'spec');
  expect(changes.map(({ pool, msg, version }) => [pool, msg, version])).toEqual([
    ['other', 'policy created', 1],
    ['other', 'policy replaced', 2],
    ['other', 'policy replaced', 3],
    ['other', 'policy deleted', 3],
  ]);
});

test('a decision that the log names is found in the API by that name', async () => {
  const put = (headers: Record<string, string>, minWorkers: number) =>
    send('PUT', '/v1/policies/named', headers, { bounds: { minWorkers, maxWorkers: 9 } });
  await put({ 'if-none-match': '*' }, 1);
  const made = async () => {
    const { text } = await send('GET', '/v1/pools/named/decisions');
    return (JSON.parse(text) as { items: { id: string; firstAt: string }[] }).items;
  };
  while ((await made()).length === 0);
  await put({ 'if-match': '*' }, 3);
  const named = () =>
    logged.map((line) => JSON.parse(line)).find(({ decision, pool }) => decision && pool === 'named');
  while (named() === undefined) await made();
  const { decision } = named();
  while (!(await made()).some(({ id }) => id === decision));
  const found = (await made()).find(({ id }) => id === decision);
  expect(decision).toBe(`named/${Date.parse(found?.firstAt as string)}`);
});

test.each(['/v1/policies', '/v1/pools'])('%s: a cursor that is no pool name is refused', async (path) => {
  expect(await send('GET', `${path}?cursor=%00`)).toMatchObject({ status: 400 });
  expect(await send('GET', `${path}?cursor=web`)).toMatchObject({ status: 200 });
});

test.each(['demand', 'forecast', 'decisions'])('a cursor of %s beyond all numbers', async (series) => {
  const at = (cursor: string) => send('GET', `/v1/pools/web/${series}?cursor=${cursor}`);
  expect(await at('9007199254740991')).toMatchObject({ status: 200 });
  expect(await at('-9007199254740991')).toMatchObject({ status: 200 });
  expect(await at('1e300')).toMatchObject({ status: 400 });
  expect(await at('%00')).toMatchObject({ status: 400 });
});
