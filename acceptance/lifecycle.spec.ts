import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ApiClient } from './api-client.js';
import {
  bin,
  DEADLINE_MS,
  DEMO_HANDLERS,
  eventually,
  freePorts,
  HeadroomProcess,
  listenAnywhere,
  projectDir,
  Workplace,
} from './headroom-process.js';

// One data directory and one start after the other, in the order of the tests: each continues the story before it.

const work = new Workplace();
let config: Record<string, unknown>;
let configFile: string;
let api: ApiClient;
let ports: number[];

beforeAll(async () => {
  ports = await freePorts(4);
  // A worker that finishes nothing for as long as anybody asks: whoever stops it must wait, or insist.
  work.write(
    'slow/default.mjs',
    'export default () => new Promise((resolve) => setTimeout(resolve, 60000));\n',
  );
  config = {
    api: { port: ports[0] },
    router: { port: ports[1] },
    log: { statusEveryS: 0 },
    // Less than workers ask for when they may.
    identity: { tokenMaxS: 1800 },
    pools: {
      web: {
        bucketS: 1,
        seasonsS: [60],
        latenessS: 1,
        worker: { handlers: DEMO_HANDLERS },
        policy: { mode: 'predictive', bounds: { minWorkers: 1, maxWorkers: 5 } },
      },
      slow: { worker: { handlers: join(work.folder, 'slow'), drainS: 60 }, policy: { mode: 'reactive' } },
    },
  };
  configFile = work.write('headroom.yaml', config);
});
afterAll(() => work.clean());

interface Pool {
  workers: { ready: number; desired: number } | null;
}
const workersOf = async (pool: string) => (await api.get<Pool>(`/v1/pools/${pool}`)).body.workers;
const listens = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const answer = (accepted: boolean) => () => (socket.destroy(), resolve(accepted));
    socket.on('connect', answer(true)).on('error', answer(false));
  });

async function expectNothingLeft(program: HeadroomProcess): Promise<void> {
  await program.gone();
  expect(await Promise.all([ports[0], ports[1]].map((port) => listens(port as number)))).toEqual([
    false,
    false,
  ]);
}

describe('a running program', () => {
  let program: HeadroomProcess;
  afterAll(() => work.end());

  test(
    'says that it is ready, and where everything is',
    async () => {
      program = work.start(configFile);
      await program.line(/^headroom: ready after [\d.]+ s$/m);
      await program.line(/^ {2}data .+$/m);
      expect(program.stdout).toContain(`http://127.0.0.1:${ports[0]} `);
      expect(program.stdout).toContain(`http://127.0.0.1:${ports[1]}/<pool>/`);
      expect(program.stdout).toContain(configFile);
      expect(program.stdout).toContain(work.dataDir);
      expect(program.stderr).not.toMatch(/"level":(40|50)/);
    },
    DEADLINE_MS,
  );

  test(
    'healthz and readyz are public; everything else wants a token that allows it',
    async () => {
      const anybody = new ApiClient(`http://127.0.0.1:${ports[0]}`);
      expect(await anybody.get('/healthz')).toMatchObject({ status: 200, body: { ok: true } });
      expect(await anybody.get('/readyz')).toMatchObject({
        status: 200,
        body: { ready: true, problems: [] },
      });

      api = new ApiClient(anybody.url, await work.token('all'));
      const { body } = await api.get<OpenApi>('/openapi.json');
      const guarded = operationsOf(body).filter(({ scope }) => scope !== undefined);
      expect(operationsOf(body).length - guarded.length).toBe(2);
      const wrong = {
        reader: new ApiClient(anybody.url, await work.token('pools:read')),
        writer: new ApiClient(anybody.url, await work.token('policies:write')),
      };
      for (const { method, path, scope } of guarded) {
        const address = path.replace('{pool}', 'web');
        const stranger = await anybody.send(method, address);
        expect({ method, path, status: stranger.status }).toEqual({ method, path, status: 401 });
        expect(stranger.headers.get('www-authenticate')).toMatch(/^Bearer /);
        const other = scope === 'pools:read' ? wrong.writer : wrong.reader;
        const refused = await other.send(method, address);
        expect({ method, path, status: refused.status, body: refused.body }).toMatchObject({
          method,
          path,
          status: 403,
          body: { type: 'urn:headroom:insufficient-scope', detail: expect.stringContaining(scope as string) },
        });
      }
      expect(await new ApiClient(anybody.url, 'not.a.token').get('/v1/pools')).toMatchObject({ status: 401 });
      const metrics = await api.metrics();
      const refused = (reason: string) =>
        metrics.get(`headroom_api_unauthorized_requests_total{reason="${reason}"}`);
      expect([refused('none'), refused('scope'), refused('malformed')]).toEqual([
        guarded.length,
        guarded.length,
        1,
      ]);
    },
    DEADLINE_MS,
  );

  test('/openapi.json lists every route', async () => {
    const { body } = await api.get<OpenApi>('/openapi.json');
    expect(operationsOf(body).map(({ method, path }) => `${method} ${path}`)).toEqual([
      'DELETE /v1/policies/{pool}',
      'GET /healthz',
      'GET /metrics',
      'GET /openapi.json',
      'GET /readyz',
      'GET /v1/backup',
      'GET /v1/dead-letters',
      'GET /v1/dead-letters/{partition}/{offset}',
      'GET /v1/fleet/memberships',
      'GET /v1/fleet/pools',
      'GET /v1/policies',
      'GET /v1/policies/{pool}',
      'GET /v1/pools',
      'GET /v1/pools/{pool}',
      'GET /v1/pools/{pool}/decisions',
      'GET /v1/pools/{pool}/demand',
      'GET /v1/pools/{pool}/forecast',
      'GET /v1/pools/{pool}/history',
      'POST /v1/dead-letters/replay',
      'POST /v1/events',
      'POST /v1/pools/{pool}/history',
      'POST /v1/webhooks/{mapping}',
      'PUT /v1/fleet/pools/{pool}',
      'PUT /v1/policies/{pool}',
    ]);
    expect(await api.get('/v1/none')).toMatchObject({ status: 404 });
    expect(await api.send('PATCH', '/v1/pools')).toMatchObject({ status: 405 });
  });

  test('/metrics is Prometheus text and holds the whole catalogue', async () => {
    const { headers, body } = await api.get<string>('/metrics');
    expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of body.trimEnd().split('\n')) {
      expect(line).toMatch(
        /^(# (HELP|TYPE) [a-z_:0-9]+ .+|[a-zA-Z_:][\w:]*(\{[^}]*\})? ([-+]?[\d.]+(e[-+]?\d+)?|[-+]?Inf|Nan))?$/,
      );
    }
    const documented = readFileSync(join(projectDir, 'docs', 'metrics.md'), 'utf8').matchAll(/^## (\w+)$/gm);
    const served = new Set([...body.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name));
    expect([...documented].map(([, name]) => name).filter((name) => !served.has(name))).toEqual([]);
  });

  test(
    'a second one on the same data directory is refused, and the first goes on',
    async () => {
      const other = { ...config, api: { port: ports[2] }, router: { port: ports[3] } };
      const second = work.start(work.write('other-ports.yaml', other));
      expect(await second.ended).toEqual({ code: 2, signal: null });
      expect(second.stderr).toBe(
        `headroom: data directory: used by one process at a time, ${join(work.dataDir, 'store')} is in use ` +
          '(stop the other process, or set HEADROOM_DATA_DIR)\n',
      );
      expect(await api.get('/readyz')).toMatchObject({ status: 200 });
    },
    DEADLINE_MS,
  );

  test(
    'kill -9 leaves no worker behind',
    async () => {
      await putWorkers({ minWorkers: 3, maxWorkers: 5 });
      await eventually('three workers', async () => (await workersOf('web'))?.ready === 3 || undefined);
      // A hold of an hour, so that only the record can be why the next start has three workers.
      await putWorkers({ minWorkers: 1, maxWorkers: 5 });
      const requests = Array.from({ length: 20 }, () => fetch(`http://127.0.0.1:${ports[1]}/web/`));
      for (const answer of await Promise.all(requests)) expect(answer.status).toBe(200);
      await eventually('demand of twenty requests', async () => (await arrivals()) === 20 || undefined);
      await eventually('a recorded decision with the lower bound', async () => {
        const [last] = await api.all<{ policyVersion: number }>('/v1/pools/web/decisions');
        return last?.policyVersion === 3 || undefined;
      });
      expect(program.members().length).toBeGreaterThanOrEqual(5);
      program.kill('SIGKILL');
      expect(await program.ended).toEqual({ code: null, signal: 'SIGKILL' });
      await expectNothingLeft(program);
    },
    DEADLINE_MS,
  );
});

async function putWorkers(bounds: { minWorkers: number; maxWorkers: number }): Promise<void> {
  const { headers } = await api.get('/v1/policies/web');
  const put = await api.send('PUT', '/v1/policies/web', {
    body: { mode: 'predictive', bounds, scaleIn: { holdS: 3600 } },
    headers: { 'if-match': headers.get('etag') as string },
  });
  expect(put.status).toBe(200);
}

async function arrivals(): Promise<number> {
  const buckets = await api.all<{ arrivals: number }>('/v1/pools/web/demand');
  return buckets.reduce((sum, bucket) => sum + bucket.arrivals, 0);
}

describe('the next start', () => {
  afterEach(() => work.end());

  test(
    'continues after kill -9: policies, decisions, demand and workers are there; SIGTERM ends it',
    async () => {
      const program = work.start(configFile);
      await program.line(/^headroom: ready/m);
      expect(await workersOf('web')).toMatchObject({ desired: 3 });
      expect(await api.get('/v1/policies/web')).toMatchObject({
        body: { version: 3, policy: { bounds: { minWorkers: 1 } } },
      });
      const decisions = await api.all<{ policyVersion: number }>('/v1/pools/web/decisions');
      expect(new Set(decisions.map(({ policyVersion }) => policyVersion))).toEqual(new Set([1, 2, 3]));
      expect(await arrivals()).toBe(20);
      program.kill('SIGTERM');
      expect(await program.ended).toEqual({ code: 0, signal: null });
      expect(program.stderr).toContain('headroom: SIGTERM, stopping …\n');
      await expectNothingLeft(program);
    },
    DEADLINE_MS,
  );

  test(
    'through npm: Ctrl-C, which a terminal sends to everybody, ends all with 0',
    async () => {
      const program = work.run('npm', ['--prefix', projectDir, 'start', '--', ...startArguments()]);
      await program.line(/^headroom: ready/m);
      program.killGroup('SIGINT');
      expect(await program.ended).toEqual({ code: 0, signal: null });
      expect(program.stderr.match(/^headroom: (SIGINT, stopping …|stopped)$/gm)).toHaveLength(2);
      await expectNothingLeft(program);
    },
    DEADLINE_MS,
  );

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'a second %s ends what the first one waits for',
    async (signal, code) => {
      const program = work.start(configFile);
      await program.line(/^headroom: ready/m);
      const aborted = fetch(`http://127.0.0.1:${ports[1]}/slow/`).catch(() => undefined);
      const busy = 'headroom_router_in_flight_requests{pool="slow"}';
      await eventually('a request at work', async () => (await api.metrics()).get(busy) === 1 || undefined);
      program.kill(signal);
      await program.line(new RegExp(`${signal}, stopping`));
      // Somebody who does not want to wait presses it until it helps.
      const pressing = setInterval(() => program.kill(signal), 100);
      const ended = await program.ended;
      clearInterval(pressing);
      await aborted;
      expect(ended).toEqual({ code, signal: null });
      await expectNothingLeft(program);
    },
    DEADLINE_MS,
  );

  test(
    'Ctrl-C during the start ends it without a word about being ready',
    async () => {
      const debug = { ...config, log: { level: 'debug', statusEveryS: 0 } };
      const program = work.start(work.write('debug.yaml', debug));
      await program.line(/parts opened/);
      program.kill('SIGINT');
      expect(await program.ended).toEqual({ code: 0, signal: null });
      expect(program.stderr).toContain('headroom: SIGINT, stopping as soon as the start is through\n');
      expect(program.stdout).toBe('');
      await expectNothingLeft(program);
    },
    DEADLINE_MS,
  );

  test(
    'with --target runs only these',
    async () => {
      const program = work.start(configFile, '--target', 'ingest,fleet,router');
      await program.line(/^headroom: ready/m);
      const { body } = await api.get<OpenApi>('/openapi.json');
      const own = operationsOf(body).map(({ path }) => path);
      expect(own.filter((path) => path.startsWith('/v1/')).toSorted()).toEqual([
        '/v1/backup',
        '/v1/dead-letters',
        '/v1/dead-letters/replay',
        '/v1/dead-letters/{partition}/{offset}',
        '/v1/events',
        '/v1/fleet/memberships',
        '/v1/fleet/pools',
        '/v1/fleet/pools/{pool}',
        '/v1/pools/{pool}/history',
        '/v1/pools/{pool}/history',
        '/v1/webhooks/{mapping}',
      ]);
      expect(await api.get('/v1/pools')).toMatchObject({ status: 404 });
      const answer = await fetch(`http://127.0.0.1:${ports[1]}/web/`);
      expect(answer.status).toBe(503); // nobody orders workers
      program.killGroup('SIGINT');
      expect(await program.ended).toEqual({ code: 0, signal: null });
      await expectNothingLeft(program);
    },
    DEADLINE_MS,
  );
});

function startArguments(): string[] {
  return ['--config', configFile, '--data-dir', work.dataDir];
}

describe('a program whose store ends', () => {
  afterEach(() => work.end());

  test(
    'says so and exits with 5, and leaves nothing behind',
    async () => {
      // The engine's thread ends when the test says so, as it does when the engine gives up.
      const killer = work.write(
        'end-of-engine.mjs',
        `import { Worker } from 'node:worker_threads';
         const post = Worker.prototype.postMessage;
         Worker.prototype.postMessage = function (message, ...rest) {
           if (message?.kind === 'query') this.engine ??= process.once('SIGUSR2', () => this.terminate());
           return post.call(this, message, ...rest);
         };`,
      );
      const pools = { web: (config['pools'] as Record<string, unknown>)['web'] };
      const file = work.write('one-pool.yaml', { ...config, pools });
      const args = ['start', '--config', file, '--data-dir', work.dataDir];
      const program = work.run(process.execPath, ['--import', killer, bin, ...args]);
      await program.line(/^headroom: ready after/m);
      program.kill('SIGUSR2');
      expect(await program.ended).toEqual({ code: 5, signal: null });
      expect(program.stderr).toMatch(/^headroom: the store has ended unasked: .+$/m);
      await expectNothingLeft(program);
    },
    2 * DEADLINE_MS,
  );
});

describe('what cannot start says why and exits with 2', () => {
  afterEach(() => work.end());

  test.each([
    ['API', 0],
    ['router', 1],
  ])(
    'the port of the %s is taken',
    async (_name, index) => {
      const other = await listenAnywhere();
      const { port } = other.address() as AddressInfo;
      const taken = {
        ...config,
        api: { port: index === 0 ? port : ports[0] },
        router: { port: index === 1 ? port : ports[1] },
      };
      const program = work.start(work.write('taken.yaml', taken));
      const ended = await program.ended;
      other.close();
      expect(ended).toEqual({ code: 2, signal: null });
      expect(program.stderr).toMatch(
        new RegExp(`^headroom: port ${port}: must be free, another program listens there$`, 'm'),
      );
      await expectNothingLeft(program);
    },
    DEADLINE_MS,
  );

  test(
    'the router cannot listen on an address that is nobody’s (RFC 5737)',
    async () => {
      const elsewhere = { ...config, router: { host: '192.0.2.1', port: ports[1] } };
      const program = work.start(work.write('elsewhere.yaml', elsewhere));
      expect(await program.ended).toEqual({ code: 2, signal: null });
      expect(program.stderr).toMatch(
        /^headroom: address 192\.0\.2\.1, port \d+: must be an address of this machine, got EADDRNOTAVAIL$/m,
      );
      expect(program.stderr).not.toContain('    at ');
    },
    DEADLINE_MS,
  );

  test(
    'another number of partitions than the data directory has',
    async () => {
      const program = work.start(work.write('partitions.yaml', { ...config, ingest: { partitions: 8 } }));
      expect(await program.ended).toEqual({ code: 2, signal: null });
      expect(program.stderr).toContain(
        'headroom: event log topic executions.v1: must keep its 4 partitions, got 8 (keys would move between ' +
          'partitions)\n  hint: ingest.partitions',
      );
      expect(program.stderr).not.toContain('    at ');
    },
    DEADLINE_MS,
  );

  test.each([
    [{ api: { port: 0 } }, 'api.port: must be ≥ 1, got 0\n'],
    [{ pols: {} }, 'pols: must be a known key (did you mean pools?), got "pols"\n'],
  ])('configuration %j', async (wrong, message) => {
    const program = work.start(work.write('wrong.yaml', wrong));
    expect({ ...(await program.ended), stderr: program.stderr }).toEqual({
      code: 2,
      signal: null,
      stderr: message,
    });
  });

  test('an unknown target', async () => {
    const program = work.start(configFile, '--target', 'ingest,rooter');
    expect({ ...(await program.ended), stderr: program.stderr }).toEqual({
      code: 2,
      signal: null,
      stderr:
        'headroom: --target: must be all or of ingest, forecaster, fleet, autoscaler, router, sources, got rooter\n',
    });
  });
});

interface OpenApi {
  paths: Record<string, Record<string, { security: { token: string[] }[] }>>;
}

function operationsOf({ paths }: OpenApi): { method: string; path: string; scope: string | undefined }[] {
  return Object.entries(paths)
    .flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { security }]) => {
        return { method: method.toUpperCase(), path, scope: security[0]?.token[0] };
      }),
    )
    .sort((a, b) => (`${a.method} ${a.path}` < `${b.method} ${b.path}` ? -1 : 1));
}
