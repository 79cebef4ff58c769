import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openLocalIdentity } from '#adapters/identity';
import { ApiClient } from './api-client.js';
import {
  DEADLINE_MS,
  DEMO_HANDLERS,
  eventually,
  freePorts,
  Workplace,
  type HeadroomProcess,
} from './headroom-process.js';

// Two processes: one hosts the workers, the other has everything else. They share a key, and no data.

/** A hold of an hour: nobody goes because the load does. */
const POLICY = { mode: 'predictive', scaleIn: { holdS: 3600 } };
const work = new Workplace();
const hostDir = join(work.folder, 'host');
let api: ApiClient;
let hostApi: ApiClient;
let router: string;
let rest: HeadroomProcess;
let host: HeadroomProcess;
const PROMETHEUS = {
  kind: 'prometheus',
  url: 'http://127.0.0.1:1',
  pools: { web: { arrivals: 'up' } },
};
let hostConfig: string;

beforeAll(async () => {
  const [apiPort, routerPort, hostPort] = await freePorts(3);
  router = `http://127.0.0.1:${routerPort}/web/`;
  const shared = {
    log: { statusEveryS: 0 },
    identity: { keyFile: join(work.dataDir, 'identity-key.json') },
    pools: {
      web: {
        bucketS: 1,
        seasonsS: [60],
        worker: { handlers: DEMO_HANDLERS },
        policy: { ...POLICY, bounds: { minWorkers: 2, maxWorkers: 5 } },
      },
    },
  };
  hostConfig = work.write('host.yaml', {
    ...shared,
    api: { port: hostPort },
    fleet: { kind: 'local-processes', eventsUrl: `http://127.0.0.1:${apiPort}` },
    // The same in all processes, but for secrets: those are where events are taken.
    sources: { prom: { ...PROMETHEUS, tokenFile: 'only-where-ingest-is' } },
  });
  const restConfig = work.write('rest.yaml', {
    ...shared,
    api: { port: apiPort },
    router: { port: routerPort },
    fleet: { kind: 'remote', url: `http://127.0.0.1:${hostPort}` },
  });
  // Whoever runs several processes brings the key; nobody makes one that a file should hold.
  await openLocalIdentity(work.dataDir, { create: true });
  host = startHost();
  rest = work.start(restConfig);
  await Promise.all([host, rest].map((program) => program.line(/^headroom: ready/m)));
  api = new ApiClient(`http://127.0.0.1:${apiPort}`, await work.token('all'));
  hostApi = new ApiClient(`http://127.0.0.1:${hostPort}`, await work.token('all'));
}, 2 * DEADLINE_MS);
afterAll(() => work.clean());

function startHost(): HeadroomProcess {
  return work.headroom('start', '--target', 'fleet', '--data-dir', hostDir, '--config', hostConfig);
}

interface Pool {
  workers: { ready: number; desired: number } | null;
  decision: { kind: string; reason: string; desired: number } | null;
}
const pool = async () => (await api.get<Pool>('/v1/pools/web')).body;
const ready = (workers: number) =>
  eventually(`${workers} ready workers`, async () => (await pool()).workers?.ready === workers || undefined);
const sum = async () => {
  const buckets = await api.all<{ completions: number }>('/v1/pools/web/demand');
  return buckets.reduce((total, { completions }) => total + completions, 0);
};

async function putPolicy(change: object): Promise<void> {
  const { headers } = await api.get('/v1/policies/web');
  const answer = await api.send('PUT', '/v1/policies/web', {
    body: { ...POLICY, bounds: { minWorkers: 1, maxWorkers: 5 }, ...change },
    headers: { 'if-match': headers.get('etag') as string },
  });
  expect(answer).toMatchObject({ status: 200 });
}

async function whoAnswers(requests: number): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: requests }, () => fetch(router)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  const bodies = await Promise.all(answers.map((answer) => answer.json() as Promise<{ workerId: string }>));
  return [...new Set(bodies.map(({ workerId }) => workerId))].toSorted();
}

test(
  'the autoscaler orders, the router finds the workers, and they tell ingest of what they served',
  async () => {
    await ready(2);
    await eventually('answers of two workers', async () => (await whoAnswers(4)).length === 2 || undefined);
    const served = (await api.metrics()).get('headroom_router_requests_total{pool="web",outcome="answered"}');
    await eventually('all demand', async () => (await sum()) === served || undefined);
    // The host has neither log nor store, and says only what is its own.
    expect(await hostApi.get('/readyz')).toMatchObject({ status: 200, body: { problems: [] } });
    expect(await hostApi.get('/v1/pools')).toMatchObject({ status: 404 });
    expect([...(await hostApi.metrics()).keys()].join('\n')).not.toMatch(/consumer_lag/);
  },
  DEADLINE_MS,
);

test(
  'the host dies: decisions are blind, and the next host brings the workers that there were',
  async () => {
    const putBounds = async (minWorkers: number) => {
      const { headers } = await api.get('/v1/policies/web');
      const body = { mode: 'predictive', bounds: { minWorkers, maxWorkers: 5 }, scaleIn: { holdS: 3600 } };
      const tag = { 'if-match': headers.get('etag') as string };
      expect(await api.send('PUT', '/v1/policies/web', { body, headers: tag })).toMatchObject({
        status: 200,
      });
    };
    await putBounds(4);
    await ready(4);
    await putBounds(1); // only the record says four by now
    host.kill('SIGKILL');
    await host.gone();
    await eventually('a blind decision', async () => {
      const { decision, workers } = await pool();
      return (workers === null && decision?.reason === 'fleet-missing') || undefined;
    });
    expect((await pool()).decision).toMatchObject({ kind: 'blind', desired: 4 });
    const { status, body } = await api.get<{ problems: string[] }>('/readyz');
    expect(status).toBe(503);
    expect(body.problems).toEqual([expect.stringMatching(/^fleet at http/)]);
    host = startHost();
    await host.line(/^headroom: ready/m);
    await ready(4);
    // The router asks the host again within two seconds.
    await eventually('an answer', async () => (await fetch(router)).status === 200 || undefined);
    await eventually('answers of four workers', async () => (await whoAnswers(8)).length === 4 || undefined);
    expect((await api.metrics()).get('headroom_fleet_restarts_total')).toBe(1);
    expect(await api.get('/readyz')).toMatchObject({ status: 200 });
  },
  2 * DEADLINE_MS,
);

test(
  'workers leave without a request that fails',
  async () => {
    await putPolicy({ mode: 'observe' }); // from here on only this test gives orders
    const enough = new AbortController();
    const sender = (async () => {
      let sent = 0;
      for (; !enough.signal.aborted; sent += 8) await whoAnswers(8); // expects 200 of each
      return sent;
    })();
    const orders = (async () => {
      for (const desired of [1, 5, 2, 4]) {
        const answer = await hostApi.send('PUT', '/v1/fleet/pools/web', { body: { desired } });
        expect(answer).toMatchObject({ status: 204 });
        await ready(desired);
      }
    })().finally(() => enough.abort());
    const [sent] = await Promise.all([sender, orders]);
    expect(sent).toBeGreaterThan(50);
  },
  2 * DEADLINE_MS,
);

test(
  'each process stops for itself; the host drains its workers',
  async () => {
    rest.kill('SIGTERM');
    expect(await rest.ended).toEqual({ code: 0, signal: null });
    expect(host.members().length).toBeGreaterThan(4);
    host.kill('SIGTERM');
    expect(await host.ended).toEqual({ code: 0, signal: null });
    await host.gone();
  },
  DEADLINE_MS,
);
