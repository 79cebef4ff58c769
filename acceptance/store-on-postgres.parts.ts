import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { startPostgres, type Postgres } from '#parts/postgres';
import { allInOne } from './all-in-one.js';
import { ApiClient } from './api-client.js';
import { expectExactAfterKills } from './exact-after-kills.js';
import { DEADLINE_MS, eventually, freePorts, Workplace } from './headroom-process.js';
import { ResendingSender, seededRandom, stateAfter } from './killed-program.js';
import { demandSettled } from './settled-demand.js';
import { completedBetween } from './sent-events.js';

// The program with its tables on a server: what is promised on the embedded store holds there too.

let server: Postgres;
let work: Workplace;
beforeAll(async () => {
  server = await startPostgres();
  await onServer('create database kills', 'create database restarts', 'create database moved');
}, DEADLINE_MS);
afterEach(() => work.clean());
afterAll(() => server.stop(), DEADLINE_MS);

/** The tables of one story: those of another were filled from another event log. */
const urlOf = (database: string) => Object.assign(new URL(server.url), { pathname: `/${database}` }).href;
const store = (url: string) => ({ kind: 'postgres', url, connectTimeoutMs: 1_000 });

async function onServer(...statements: string[]): Promise<void> {
  const client = new Client(server.url);
  await client.connect();
  for (const sql of statements) await client.query(sql);
  await client.end();
}

async function place(more: object = {}) {
  work = new Workplace();
  const [apiPort, routerPort] = await freePorts(2);
  const configFile = work.write('headroom.yaml', {
    api: { port: apiPort },
    router: { port: routerPort },
    log: { statusEveryS: 0, level: 'warn' },
    store: store(urlOf('restarts')),
    pools: { away: { bucketS: 1, seasonsS: [60] } },
    ...more,
  });
  const connect = async () => new ApiClient(`http://127.0.0.1:${apiPort}`, await work.token('all'));
  return { configFile, connect };
}

test('killed again and again: every event counts, and every one once', async () => {
  work = new Workplace();
  const story = expectExactAfterKills({
    work,
    deployment: allInOne({ store: store(urlOf('kills')) }),
    kills: 3,
    withinMs: 1_500,
  });
  expect((await story).resent).toBeGreaterThan(0);
}, 180_000);

test('a server that restarts under load: requests wait or get 503, readiness says why, nothing is lost', async () => {
  const { configFile, connect } = await place();
  const program = work.start(configFile);
  await program.line(/^headroom: ready/m);
  const api = await connect();
  const sender = new ResendingSender({ api, pool: 'away', name: 'away', random: seededRandom(1) });
  const ready = async () => (await api.get<{ ready: boolean; problems: string[] }>('/readyz')).body;
  for (let round = 0; round < 2; round++) {
    const before = sender.acknowledged;
    await eventually('events', () => sender.acknowledged > before + 200 || undefined);
    await server.kill();
    await eventually('the problem is said', async () => {
      const { problems } = await ready();
      return (
        problems.some((problem) => problem.startsWith('store: PostgreSQL must be reachable')) || undefined
      );
    });
    const policies = await api.get<{ type: string }>('/v1/policies');
    expect(policies).toMatchObject({ status: 503, body: { type: 'urn:headroom:store-unavailable' } });
    expect(policies.headers.get('retry-after')).toBe('10');
    // The log is elsewhere: events are taken all the same.
    const meanwhile = sender.acknowledged;
    await eventually('events meanwhile', () => sender.acknowledged > meanwhile || undefined);
    await server.restart();
    await eventually('ready again', async () => (await ready()).ready || undefined);
  }
  await sender.stop();
  const { acknowledged, resent } = sender;
  const after = {
    api,
    demandSettled: () => demandSettled(api),
    acknowledged,
    resent,
    seen: { policyVersion: 1, maxWorkers: 0, decisions: new Map() },
  };
  const state = await stateAfter(after, 'away');
  expect({ arrivals: state.arrivals, completions: state.completions }).toEqual({
    arrivals: acknowledged,
    completions: acknowledged,
  });
}, 180_000);

test('a backup of the server is taken while the program runs; one of a data directory moves to a server', async () => {
  const { configFile, connect } = await place({ store: { kind: 'embedded' } });
  const onMoved = work.write('moved.yaml', {
    ...JSON.parse(readFileSync(configFile, 'utf8')),
    store: store(urlOf('moved')),
  });
  const totals = async (api: ApiClient) => {
    const buckets = await api.all<{ arrivals: number }>('/v1/pools/away/demand');
    return buckets.reduce((sum, { arrivals }) => sum + arrivals, 0);
  };
  const send = async (api: ApiClient, prefix: string) => {
    const toMs = Date.now();
    const events = completedBetween({ prefix, pool: 'away', fromMs: toMs - 9_000, toMs, count: 90 });
    expect((await api.send('POST', '/v1/events', { body: events })).status).toBe(202);
  };
  const run = async (...args: string[]) => {
    const command = work.headroom(...args);
    const { code } = await command.ended;
    return { code, output: command.output };
  };
  const backup = join(work.folder, 'backup');
  const newDir = ['--config', onMoved, '--data-dir', join(work.folder, 'new')];

  const embedded = work.start(configFile);
  await embedded.line(/^headroom: ready/m);
  const first = await connect();
  await send(first, 'embedded');
  await eventually('demand', async () => (await totals(first)) === 90 || undefined);
  embedded.kill('SIGTERM');
  await embedded.gone();
  expect(await run('backup', backup, '--config', configFile, '--data-dir', work.dataDir)).toMatchObject({
    code: 0,
  });

  const refused = await run('restore', backup, ...newDir);
  expect(refused).toMatchObject({ code: 2, output: expect.stringContaining('--new-log keeps the history') });
  expect(await run('restore', backup, '--new-log', ...newDir)).toMatchObject({ code: 0 });
  const program = work.headroom('start', ...newDir);
  await program.line(/^headroom: ready/m);
  const signed = await run('token', '--scope', 'all', ...newDir);
  const api = new ApiClient(first.url, signed.output.trim());
  expect(await totals(api)).toBe(90);
  await send(api, 'moved');
  await eventually('demand', async () => (await totals(api)) === 180 || undefined);

  // Straight from the server, whether or not a program runs.
  const again = await run('backup', `${backup}-2`, '--json', ...newDir);
  expect(again.code).toBe(0);
  expect(JSON.parse(again.output)).toMatchObject({ log: false, rows: { policies: 1 } });
  program.kill('SIGTERM');
  await program.gone();
  await onServer('drop database moved', 'create database moved');
  expect(await run('restore', `${backup}-2`, ...newDir)).toMatchObject({ code: 0 });
  // Its event log is still there: the tables go on where they stand in it.
  const back = work.headroom('start', ...newDir);
  await back.line(/^headroom: ready/m);
  await send(api, 'back');
  await eventually('demand', async () => (await totals(api)) === 270 || undefined);
}, 240_000);

test('a start without its server, or with the tables of another event log, says so and ends', async () => {
  const first = await place({ store: store('postgres://app@127.0.0.1:1/nothing') });
  const unreachable = work.start(first.configFile);
  expect((await unreachable.ended).code).toBe(3);
  expect(unreachable.stderr).toMatch(/store: PostgreSQL at 127.0.0.1:1\/nothing must be reachable, got: /);
  await work.clean();
  // These were filled from a data directory that is gone.
  const { configFile } = await place();
  const foreign = work.headroom('start', '--config', configFile, '--data-dir', join(work.folder, 'other'));
  expect((await foreign.ended).code).toBe(2);
  expect(foreign.stderr).toMatch(
    /store: must have been filled from this event log, embedded\/\S+, got tables of embedded\/\S+\n/,
  );
}, 60_000);
