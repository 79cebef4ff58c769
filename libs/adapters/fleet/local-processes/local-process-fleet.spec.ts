import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { fleetContract } from '../fleet.contract.js';
import type { FleetObserver, Membership } from '../fleet.js';
import { LocalProcessFleet, type LocalPoolSettings } from './local-process-fleet.js';

// dist/libs/adapters/fleet/local-processes/ → dist/
const dist = join(import.meta.dirname, '..', '..', '..', '..');
const workerEntry = join(dist, 'apps', 'worker', 'main.js');
const POLL_MS = 5;
const PATIENCE_MS = 15_000;
const START_DELAY_MS = 100;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-fleet-'));
  writeFileSync(
    join(folder, 'default.js'),
    `import { setTimeout as delay } from 'node:timers/promises';
     export default async ({ body }) => {
       await delay(Number(Buffer.from(body).toString()));
       return { body: String(process.pid) };
     };`,
  );
  writeFileSync(join(folder, 'spin.js'), `export default async () => { for (;;); };`);
});
afterAll(() => rmSync(folder, { recursive: true }));

const settings = (given: Partial<LocalPoolSettings> = {}): LocalPoolSettings => ({
  slots: 2,
  queueLimit: 2,
  handlersDir: folder,
  startDelayMs: START_DELAY_MS,
  drainS: 1,
  expectedLeadTimeS: 7,
  ...given,
});

async function until(condition: () => boolean): Promise<void> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += POLL_MS) {
    if (condition()) return;
    await delay(POLL_MS);
  }
  throw new Error(`the condition must hold within ${PATIENCE_MS} ms`);
}

/** Worker processes of a parent, by worker id; a boot that is not far enough to have one counts by its pid. */
function workersOf(parentPid: number): Map<string, number> {
  const lines = execFileSync('ps', ['-A', '-o', 'ppid=,pid=,args='], { encoding: 'utf8' }).split('\n');
  const found = lines.flatMap((line): [string, number][] => {
    const [, ppid, pid, args = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    if (Number(ppid) !== parentPid) return [];
    const title = /^headroom worker (\S+)/.exec(args)?.[1];
    if (title === undefined && !args.includes(workerEntry)) return [];
    return [[title ?? String(pid), Number(pid)]];
  });
  return new Map(found);
}

/** A dead process whose new parent has not collected it yet is dead. */
const isAlive = (pid: number) =>
  execFileSync('ps', ['-A', '-o', 'pid=,stat='], { encoding: 'utf8' })
    .split('\n')
    .some((line) => new RegExp(`^\\s*${pid}\\s+[^Z]`).test(line));

interface Answer {
  status: number;
  body: string;
}

/** `taken` resolves when the worker has the request: it answers "100 Continue" as it takes one. */
function send(url: string, body: string, headers: Record<string, string> = {}) {
  const taken = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Answer>();
  answer.promise.catch(() => undefined);
  request(url, { method: 'POST', agent: false, headers: { ...headers, expect: '100-continue' } }, (reply) => {
    let text = '';
    reply.on('data', (chunk: Buffer) => (text += chunk.toString()));
    reply.once('end', () => answer.resolve({ status: reply.statusCode ?? 0, body: text }));
    reply.once('error', answer.reject);
  })
    .once('continue', taken.resolve)
    .once('error', answer.reject)
    .end(body);
  return { taken: taken.promise, answer: answer.promise };
}

fleetContract('local processes', (observer) => {
  const fleet = new LocalProcessFleet({ workerEntry, pools: { demo: settings() }, observer });
  let membership: Membership;
  fleet.watch((told) => void (membership = told));
  return {
    fleet,
    startDelayMs: START_DELAY_MS,
    until,
    crash: (workerId) => void process.kill(workersOf(process.pid).get(workerId)!, 'SIGKILL'),
    serve: async (workerId, durationMs) => {
      const { url } = membership.members.find((member) => member.workerId === workerId)!;
      const { taken, answer } = send(url, String(durationMs));
      await taken;
      return {
        outcome: answer.then(
          ({ status }) => (status === 200 ? 'finished' : 'lost'),
          () => 'lost',
        ),
      };
    },
    alive: () => workersOf(process.pid).size,
  };
});

describe('local processes', () => {
  const crashes: string[] = [];
  const killed: boolean[] = [];
  const dropped: number[] = [];
  const observer: FleetObserver = {
    started: () => undefined,
    ready: () => undefined,
    crashed: ({ reason }) => crashes.push(reason),
    stopped: (worker) => killed.push(worker.killed),
    eventsDropped: ({ events }) => dropped.push(events),
  };
  const fleets: LocalProcessFleet[] = [];
  afterEach(async () => {
    await Promise.all(fleets.splice(0).map((fleet) => fleet.close()));
  });
  const open = (given: Partial<ConstructorParameters<typeof LocalProcessFleet>[0]>) => {
    const fleet = new LocalProcessFleet({ workerEntry, pools: { demo: settings() }, observer, ...given });
    fleets.push(fleet);
    const told: { members: Membership['members'] } = { members: [] };
    fleet.watch(({ members }) => void (told.members = members));
    return { fleet, told };
  };

  test('a folder without handlers is a crash that says so', async () => {
    const { fleet } = open({ pools: { demo: settings({ handlersDir: join(folder, 'none') }) } });
    await fleet.scale({ pool: 'demo', desired: 1 });
    await until(() => crashes.length > 0);
    await fleet.close();
    expect(crashes[0]).toContain('handlers: must be a folder with .js or .mjs modules');
  });

  test('events arrive with a token that is renewed; one that cannot be had is tried again', async () => {
    const seen: string[] = [];
    const api = createServer((incoming, reply) => {
      incoming.resume();
      seen.push(incoming.headers.authorization ?? '');
      // The first token has run out: 401 until the renewed one comes.
      reply.writeHead(incoming.headers.authorization === 'Bearer 1' ? 401 : 202).end();
    });
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
    const failures: string[] = [];
    let asked = 0;
    const token = async () => {
      asked += 1;
      if (asked === 2) throw new Error('no key');
      return String(asked);
    };
    const events = { url, token, renewMs: 300, onRenewalFailed: (e: Error) => failures.push(e.message) };
    const { fleet, told } = open({ events, pools: { demo: settings({ startDelayMs: 0 }) } });
    await fleet.scale({ pool: 'demo', desired: 1 });
    await until(() => told.members.length === 1);
    expect((await send(told.members[0]!.url, '0').answer).status).toBe(200);
    await until(() => seen.some((header) => header !== 'Bearer 1'));
    await fleet.close();
    api.close();
    api.closeAllConnections();
    expect(seen[0]).toBe('Bearer 1');
    expect(failures).toEqual(['no key']);
  });

  test('a token that cannot be had at the start is a crash', async () => {
    crashes.length = 0;
    const token = () => Promise.reject(new Error('no key'));
    const events = { url: 'http://127.0.0.1:1', token, renewMs: 1e6, onRenewalFailed: () => undefined };
    const { fleet } = open({ events });
    await fleet.scale({ pool: 'demo', desired: 1 });
    await until(() => crashes.length > 0);
    await fleet.close();
    expect(crashes[0]).toBe('no key');
  });

  test('a worker that cannot even be told to drain is killed, and unsent events are counted', async () => {
    killed.length = 0;
    dropped.length = 0;
    const token = async () => 'x';
    const events = { url: 'http://127.0.0.1:1', token, renewMs: 1e6, onRenewalFailed: () => undefined };
    const pools = { demo: settings({ startDelayMs: 0, drainS: 0 }) };
    const { fleet, told } = open({ exitGraceMs: 3500, events, pools });
    await fleet.scale({ pool: 'demo', desired: 2 });
    await until(() => told.members.length === 2);
    await send(told.members[0]!.url, '0').answer;
    const { taken } = send(told.members[1]!.url, '', { 'x-headroom-task-type': 'spin' });
    await taken;
    await fleet.close();
    expect(killed.sort()).toEqual([false, true]);
    expect(dropped).toEqual([1]);
  });

  test('SIGINT is not for workers, SIGTERM drains them', async () => {
    crashes.length = 0;
    const { fleet, told } = open({});
    await fleet.scale({ pool: 'demo', desired: 1 });
    await until(() => told.members.length === 1);
    const pid = workersOf(process.pid).get('demo-1')!;
    const { taken, answer } = send(told.members[0]!.url, '100');
    await taken;
    process.kill(pid, 'SIGINT');
    process.kill(pid, 'SIGTERM');
    expect(await answer).toEqual({ status: 200, body: String(pid) });
    await until(() => crashes.length === 1);
    expect(crashes).toEqual(['exit code 0']);
    await fleet.close();
  });

  test('workers end when their parent is killed', async () => {
    // Not beside the handlers: every module there is one.
    const parentDir = join(folder, 'parent');
    mkdirSync(parentDir);
    const script = join(parentDir, 'parent.mjs');
    const ready = join(parentDir, 'ready');
    writeFileSync(
      script,
      `import { writeFileSync } from 'node:fs';
       import { LocalProcessFleet } from ${JSON.stringify(join(dist, 'libs/adapters/fleet/index.js'))};
       const nothing = () => {};
       const fleet = new LocalProcessFleet({
         workerEntry: ${JSON.stringify(workerEntry)},
         pools: { demo: ${JSON.stringify(settings({ startDelayMs: 0 }))},
                  slow: ${JSON.stringify(settings({ startDelayMs: 60_000 }))} },
         observer: { started: nothing, ready: nothing, crashed: nothing, stopped: nothing, eventsDropped: nothing },
       });
       fleet.watch(({ members }) => members.length === 2 && writeFileSync(${JSON.stringify(ready)}, ''));
       await fleet.scale({ pool: 'slow', desired: 1 });
       await fleet.scale({ pool: 'demo', desired: 2 });`,
    );
    const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'ignore', 'inherit'] });
    const exited = once(parent, 'exit');
    let pids: number[];
    try {
      await until(() => existsSync(ready));
      pids = [...workersOf(parent.pid!).values()];
    } finally {
      parent.kill('SIGKILL');
    }
    await exited;
    expect(pids).toHaveLength(3);
    await until(() => !pids.some(isAlive));
  });
});
