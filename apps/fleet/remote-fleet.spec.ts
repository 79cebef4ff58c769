import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  RemoteFleet,
  SimulatedFleet,
  type FleetObserver,
  type Membership,
  type RemoteFleetOptions,
} from '#adapters/fleet';
import { fleetContract } from '#adapters/fleet/contract';
import { apiAdapter, configureApi } from '#adapters/http-api';
import { FleetModule } from './fleet.module.js';
import { FLEET_ROUTES } from './routes.js';

// The client and the host of a fleet over real HTTP; the workers are simulated, so that only the wire takes time.

const STEP_MS = 10;
const PATIENCE_MS = 5_000;
const SILENT: FleetObserver = {
  started: () => undefined,
  ready: () => undefined,
  crashed: () => undefined,
  stopped: () => undefined,
  eventsDropped: () => undefined,
};

const simulated = (observer: FleetObserver) =>
  new SimulatedFleet({
    pools: { demo: { slots: 2, startMs: () => 300, drainS: 1, expectedLeadTimeS: 7 } },
    observer,
  });

interface Host {
  url: string;
  close(): Promise<void>;
}

async function serve(fleet: SimulatedFleet, port = 0): Promise<Host> {
  const adapter = apiAdapter({ bodyLimitBytes: 16_384 });
  const options = { bodyParser: false, logger: false } as const;
  const module = FleetModule.register({ fleet });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, options);
  configureApi(app, {
    routes: Object.values(FLEET_ROUTES),
    verify: async (token) =>
      token === 'mine'
        ? { ok: true, scopes: ['fleet:read', 'fleet:scale'], subject: 'spec' }
        : { ok: false, reason: 'signature' },
    onUnexpected: ({ error }) => process.emitWarning(error as Error),
  });
  await app.listen({ host: '127.0.0.1', port });
  return { url: await app.getUrl(), close: () => app.close() };
}

interface Asked {
  operation: string;
  error: string | undefined;
}

function connect(url: string, given: Partial<RemoteFleetOptions> = {}) {
  const asked: Asked[] = [];
  const hosts: boolean[] = [];
  const fleet = new RemoteFleet({
    url,
    token: async () => 'mine',
    observer: {
      asked: ({ operation, error }) => asked.push({ operation, error: error?.message }),
      hostFound: ({ first }) => hosts.push(first),
    },
    ...given,
  });
  return { fleet, asked, hosts };
}

async function until(condition: () => boolean, pass: () => void = () => undefined): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`the condition must hold within ${PATIENCE_MS} ms`);
    pass();
    await delay(1);
  }
}

fleetContract('remote', async (observer) => {
  const alive = new Set<string>();
  const owner = simulated({
    ...observer,
    started: (worker) => (alive.add(worker.workerId), observer.started(worker)),
    crashed: (worker) => (alive.delete(worker.workerId), observer.crashed(worker)),
    stopped: (worker) => (alive.delete(worker.workerId), observer.stopped(worker)),
  });
  const host = await serve(owner);
  return {
    fleet: connect(host.url).fleet,
    owner,
    startDelayMs: 300,
    until: (condition) => until(condition, () => owner.advance(STEP_MS)),
    crash: (workerId) => owner.crash(workerId),
    serve: async (workerId, durationMs) => ({ outcome: owner.serve(workerId, durationMs) }),
    alive: () => alive.size,
    end: () => host.close(),
  };
});

describe('a remote fleet', () => {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });
  const hostOf = async (owner: SimulatedFleet, port?: number) => {
    const host = await serve(owner, port);
    ends.push(host.close);
    return host;
  };
  const clientOf = (url: string, given?: Partial<RemoteFleetOptions>) => {
    const client = connect(url, given);
    ends.push(() => client.fleet.close());
    const told: Membership[] = [];
    client.fleet.watch((membership) => void told.push(membership));
    return { ...client, told, workers: () => told.at(-1)?.members.map(({ workerId }) => workerId) };
  };
  const listening = async (server: Server) => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const withWorkers = async (count: number) => {
    const owner = simulated(SILENT);
    await owner.scale({ pool: 'demo', desired: count });
    owner.advance(300);
    return owner;
  };

  test('its close lets go and leaves the workers alone', async () => {
    const owner = await withWorkers(1);
    const { fleet, workers } = clientOf((await hostOf(owner)).url);
    await until(() => workers()?.length === 1);
    await fleet.close();
    await expect(fleet.scale({ pool: 'demo', desired: 2 })).rejects.toThrow('got closed');
    await expect(fleet.observe('demo')).rejects.toThrow('must answer GET /v1/fleet/pools');
    expect(await owner.observe('demo')).toMatchObject({ ready: 1, desired: 1, draining: 0 });
  });

  test('while the host is away orders and observations fail, members stay, and it is asked again ever more rarely', async () => {
    const host = await hostOf(await withWorkers(2));
    const { fleet, workers, told, asked, hosts } = clientOf(host.url);
    await until(() => workers()?.length === 2);
    await host.close();
    const { port } = new URL(host.url);
    for (const ask of [fleet.scale({ pool: 'demo', desired: 5 }), fleet.observe('demo')])
      await expect(ask).rejects.toThrow(
        /^fleet at http:\S+: must answer \w+ \/v1\/fleet\/pools\S*, got .*ECONNREFUSED/,
      );
    const failures = () =>
      asked.filter(({ operation, error }) => operation === 'follow' && error !== undefined);
    const startedMs = performance.now();
    await until(() => failures().length >= 3);
    // 100 and 200 ms of pause.
    expect(performance.now() - startedMs).toBeGreaterThan(250);
    expect(workers()).toEqual(['demo-1', 'demo-2']);
    // Its workers died with it: the next host has another one, of the same name at another address.
    const before = told.length;
    await hostOf(await withWorkers(1), Number(port));
    await until(() => told.length > before);
    expect(workers()).toEqual(['demo-1']);
    expect(hosts).toEqual([true, false]);
    expect(await fleet.observe('demo')).toMatchObject({ ready: 1 });
  });

  test('a host that takes requests and answers nothing is given up at the deadline', async () => {
    const { fleet } = clientOf(await listening(createServer()), { deadlineMs: 100 });
    await expect(fleet.observe('demo')).rejects.toThrow('got nothing within 100 ms');
    await expect(fleet.scale({ pool: 'demo', desired: 1 })).rejects.toThrow('got nothing within 100 ms');
  });

  test.each([
    ['no JSON', '<html>'],
    ['another form', '{"items":[{"pool":"demo"}],"host":1}'],
    ['an address that is none', membershipsAt('file:///etc/passwd')],
  ])('an answer that is none is a failure, and nobody is told: %s', async (_name, text) => {
    const url = await listening(createServer((_, reply) => void reply.end(text)));
    const { fleet, told, asked } = clientOf(url);
    await expect(fleet.observe('demo')).rejects.toThrow(/^fleet at .+ must answer GET/);
    await until(() => asked.some(({ operation }) => operation === 'follow'));
    expect(asked.every(({ error }) => error !== undefined)).toBe(true);
    expect(told).toEqual([]);
  });

  test('without a token that allows it, it says so', async () => {
    const { url } = await hostOf(await withWorkers(1));
    const { fleet, told } = clientOf(url, { token: async () => 'other' });
    await expect(fleet.scale({ pool: 'demo', desired: 1 })).rejects.toThrow('must be a valid bearer token');
    expect(told).toEqual([]);
  });

  test('those who observe at once share one request', async () => {
    const { url } = await hostOf(await withWorkers(1));
    const { fleet, asked } = connect(url);
    ends.push(() => fleet.close());
    const [one, same] = await Promise.all([fleet.observe('demo'), fleet.observe('demo')]);
    expect(one).toEqual(same);
    await fleet.observe('demo');
    expect(asked.map(({ operation }) => operation)).toEqual(['observe', 'observe']);
  });

  test('a host that stops says at last that nobody is there, and keeps no follower waiting', async () => {
    const owner = await withWorkers(2);
    const host = await hostOf(owner);
    const { workers } = clientOf(host.url);
    await until(() => workers()?.length === 2);
    const closed = owner.close();
    await until(
      () => workers()?.length === 0,
      () => owner.advance(STEP_MS),
    );
    await closed;
    const startedMs = performance.now();
    await host.close();
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });
});

function membershipsAt(url: string): string {
  const members = [{ workerId: 'demo-1', url, slots: 1, state: 'ready' }];
  const items = [{ pool: 'demo', members }];
  return JSON.stringify({ host: crypto.randomUUID(), version: 1, complete: true, items });
}
