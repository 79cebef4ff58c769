import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ApiClient } from '../api-client.js';
import {
  bin,
  DEADLINE_MS,
  DEMO_HANDLERS,
  eventually,
  freePorts,
  Workplace,
  type HeadroomProcess,
} from '../headroom-process.js';
import { ResendingSender, seededRandom } from '../killed-program.js';
import { completed } from '../sent-events.js';
import { SmallDisk } from './small-disk.js';

// The data directory's disk is full for a while: what cannot be kept is refused and said, what needs no disk goes on,
// and afterwards nothing is missing. The tests continue one story.

const POOL = 'web';
const DISK_MIB = 160;
const work = new Workplace();
let disk: SmallDisk;
let program: HeadroomProcess;
let api: ApiClient;
let router: string;
let configFile: string;
const senders: ResendingSender[] = [];
/** Requests through the router, whose events wait for the disk. */
let routed = 0;

beforeAll(async () => {
  disk = await SmallDisk.mount(work, DISK_MIB);
  const [apiPort, routerPort] = await freePorts(2);
  configFile = work.write('headroom.yaml', {
    api: { port: apiPort },
    router: { port: routerPort },
    log: { statusEveryS: 0 },
    pools: { [POOL]: { bucketS: 1, seasonsS: [60], worker: { handlers: DEMO_HANDLERS } } },
  });
  program = start();
  await program.line(/^headroom: ready/m);
  const key = work.headroom('token', '--data-dir', disk.path, '--scope', 'all');
  await key.ended;
  api = new ApiClient(`http://127.0.0.1:${apiPort}`, key.stdout.trim());
  router = `http://127.0.0.1:${routerPort}`;
}, DEADLINE_MS);
afterAll(() => work.clean());

function start(): HeadroomProcess {
  const command = [process.execPath, bin, 'start', '--config', configFile, '--data-dir', work.dataDir];
  return work.run(...disk.inside(command));
}

async function request(): Promise<void> {
  routed += 1;
  expect((await fetch(`${router}/${POOL}/`)).status).toBe(200);
}

async function runsOf(loop: string, outcome: string): Promise<number> {
  return (await api.metrics()).get(`headroom_loop_runs_total{loop="${loop}",outcome="${outcome}"}`) ?? 0;
}

async function arrivals(): Promise<number> {
  const buckets = await api.all<{ arrivals: number }>(`/v1/pools/${POOL}/demand`);
  return buckets.reduce((sum, bucket) => sum + bucket.arrivals, 0);
}

test(
  'a full disk: events are refused with 503 and Retry-After, readyz says what is wrong',
  async () => {
    for (let i = 0; i < 2; i++)
      senders.push(new ResendingSender({ api, pool: POOL, name: `sender-${i}`, random: seededRandom(i) }));
    await eventually('load', async () => (await arrivals()) > 200 || undefined);
    disk.fill();
    const refused = await eventually('a refusal', async () => {
      const event = completed({ id: 'refused', pool: 'never-accepted', queuedAtMs: Date.now() - 25 });
      const answer = await api.send('POST', '/v1/events', { body: event });
      return answer.status === 503 ? answer : undefined;
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.body).toMatchObject({ type: 'urn:headroom:log-unavailable', status: 503 });
    const ready = await api.get<{ ready: boolean; problems: string[] }>('/readyz');
    expect(ready).toMatchObject({ status: 503, body: { ready: false } });
    expect(ready.body.problems).toContain('data directory: at least 64 MiB free, got 0 MiB');
  },
  DEADLINE_MS,
);

test(
  'meanwhile the loops run, requests are served and policies are refused without harm',
  async () => {
    const failedBefore = await runsOf('decide', 'failed');
    await eventually('ten decisions that could not be recorded', async () => {
      await request();
      return (await runsOf('decide', 'failed')) >= failedBefore + 10 || undefined;
    });
    expect(await api.get('/healthz')).toMatchObject({ status: 200 });
    const { headers } = await api.get(`/v1/policies/${POOL}`);
    const put = await api.send('PUT', `/v1/policies/${POOL}`, {
      body: { mode: 'reactive' },
      headers: { 'if-match': headers.get('etag') as string },
    });
    expect(put).toMatchObject({ status: 503, body: { type: 'urn:headroom:no-resources' } });
    expect(put.headers.get('retry-after')).not.toBeNull();
    expect((await api.get(`/v1/policies/${POOL}`)).headers.get('etag')).toBe(headers.get('etag'));
  },
  DEADLINE_MS,
);

test(
  'with room again everything goes on, and totals are exact',
  async () => {
    disk.free();
    await eventually('readiness', async () => (await api.get('/readyz')).status === 200 || undefined);
    await request();
    await Promise.all(senders.map((sender) => sender.stop()));
    const sent = routed + senders.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    expect(senders.reduce((sum, { resent }) => sum + resent, 0)).toBeGreaterThan(0);
    await eventually('all demand', async () => (await arrivals()) >= sent || undefined);
    const ranBefore = await runsOf('decide', 'ran');
    await eventually(
      'more decisions',
      async () => (await runsOf('decide', 'ran')) > ranBefore + 1 || undefined,
    );
    expect(await arrivals()).toBe(sent);
    const samples = [...(await api.metrics())].filter(([, value]) => value > 0).map(([key]) => key);
    expect(samples.filter((key) => /outcome="(gap|overflow|closed)"/.test(key))).toEqual([]);
  },
  DEADLINE_MS,
);

test(
  'on a full disk it stops in order and does not start, and with room it starts with all it had',
  async () => {
    const before = await arrivals();
    disk.fill();
    program.kill('SIGTERM');
    expect(await program.ended).toEqual({ code: 0, signal: null });
    const refused = start();
    expect(await refused.ended).toEqual({ code: 2, signal: null });
    expect(refused.stderr).toContain('headroom: data directory: at least 64 MiB free, got 0 MiB');
    disk.free();
    program = start();
    await program.line(/^headroom: ready/m);
    expect(await arrivals()).toBe(before);
  },
  2 * DEADLINE_MS,
);
