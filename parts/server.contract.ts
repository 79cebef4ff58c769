import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { ServerProcess } from './server-process.js';

// What every part's server keeps to. Linux: it looks for what was left behind in /proc.

const projectDir = join(import.meta.dirname, '..', '..');
const WITHIN_MS = 60_000;
const POLL_MS = 25;
/** In /proc/net/tcp: the state, and 127.0.0.1, ::ffff:127.0.0.1 or ::1 as little-endian words. */
const LISTENS = '0A';
const LOOPBACK = /^(0{16}(FFFF0000)?0100007F|0100007F|0{24}01000000):/;

export interface ServerCase<Server extends ServerProcess> {
  /** As in '#parts/<part>'. */
  part: string;
  start: () => Promise<Server>;
  /** What clients connect to: its URL, or host:port. */
  address: (server: Server) => string;
  /** A request in the protocol of its clients, and what it is answered. */
  ask: (server: Server) => Promise<unknown>;
  answer: unknown;
}

export function serverContract<Server extends ServerProcess>(given: ServerCase<Server>): void {
  const { part, start, address, ask, answer } = given;

  describe(`${part}: the server`, () => {
    let server: Server;
    let before: number[];
    beforeAll(async () => {
      before = descendants(process.pid);
      server = await start();
    });
    afterAll(() => server?.stop());

    test('listens on loopback and answers', async () => {
      expect(portOf(address(server)).host).toBe('127.0.0.1');
      expect(addressesBeyondLoopback(descendants(process.pid))).toEqual([]);
      expect(await ask(server)).toEqual(answer);
    });

    test('comes back on the same address, after an orderly stop and after SIGKILL', async () => {
      const [where, first] = [address(server), server.pid];
      await server.restart();
      expect(await ask(server)).toEqual(answer);
      expect(server.pid).not.toBe(first);
      await server.kill();
      expect(await accepts(where)).toBe(false);
      await server.restart();
      expect(await ask(server)).toEqual(answer);
      expect(address(server)).toBe(where);
    });

    test('stopped, it leaves neither process nor port nor file', async () => {
      expect(existsSync(server.folder)).toBe(true);
      await server.stop();
      expect(await accepts(address(server))).toBe(false);
      expect(existsSync(server.folder)).toBe(false);
      expect(descendants(process.pid)).toEqual(before);
      await server.stop();
      expect(() => server.pid).toThrow('must run to have a pid');
      await expect(server.restart()).rejects.toThrow('must have its data to start again');
    });
  });

  describe(`${part}: whoever started it`, () => {
    let tests: ChildProcess | undefined;
    afterEach(() => void tests?.kill('SIGKILL'));

    test('takes it along when killed', async () => {
      const program = `
        const server = await (await import('#parts/${part}')).${start.name}();
        process.stdout.write(server.folder + '\\n');
        setInterval(() => {}, 1000);`;
      const args = ['--input-type=module', '--eval', program];
      tests = spawn(process.execPath, args, { cwd: projectDir, stdio: ['ignore', 'pipe', 'inherit'] });
      const [folder] = await once(tests.stdout!.setEncoding('utf8'), 'data');
      const family = descendants(tests.pid as number);
      expect(family.length).toBeGreaterThan(1);
      expect(existsSync(folder.trim())).toBe(true);
      tests.kill('SIGKILL');
      await until(() => !family.some(runs), `end of the processes ${family}`);
      await until(() => !existsSync(folder.trim()), `removal of ${folder}`);
    });
  });
}

function portOf(address: string): { host: string; port: number } {
  const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`);
  return { host: hostname, port: Number(port) };
}

async function accepts(address: string): Promise<boolean> {
  const socket = connect(portOf(address));
  const accepted = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return accepted;
}

async function until(reached: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + WITHIN_MS;
  while (!reached()) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: must happen within ${WITHIN_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Processes that it started, and those started; a zombie only waits for its parent and does not count. */
function descendants(pid: number): number[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(runs);
  const below = (parent: number): number[] =>
    all.filter((pid) => statOf(pid).parent === parent).flatMap((pid) => [pid, ...below(pid)]);
  return below(pid);
}

const runs = (pid: number): boolean => !['Z', 'X', undefined].includes(statOf(pid).state);

/** Local addresses, in hexadecimal, of TCP sockets of these processes that listen to the network. */
function addressesBeyondLoopback(pids: number[]): string[] {
  const owned = new Set(pids.flatMap(socketsOf));
  return ['tcp', 'tcp6']
    .flatMap((family) => readFileSync(`/proc/net/${family}`, 'utf8').trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === LISTENS && owned.has(`socket:[${inode}]`))
    .map(([, address]) => address as string)
    .filter((address) => !LOOPBACK.test(address));
}

function socketsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readlinkSync(join(folder, fd))];
    } catch {
      return []; // closed just now
    }
  });
}

/** `pid (name) state ppid …`; empty when it has ended. */
function statOf(pid: number): { state?: string; parent?: number } {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ') as [string, string];
    return { state, parent: Number(parent) };
  } catch {
    return {};
  }
}
