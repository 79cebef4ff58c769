import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { SystemUser } from './command.js';

/**
 * Reads, line by line, the process group of the running server (0 for none) and the signal that stops it in order.
 * When the pipe closes, because its owner removed the folder or because the owner is dead (kill -9 included), it stops
 * the group, by SIGKILL after five seconds, and removes the folder. In order, because a killed PostgreSQL leaves shared
 * memory and busy backends behind.
 */
const GUARD = `
  group=0
  while read -r number name; do group=$number; stop=$name; done
  if [ "$group" != 0 ]; then
    kill -s "$stop" -- "-$group"; kill -s CONT -- "-$group"
    tries=50
    while kill -s 0 -- "-$group" && [ $tries -gt 0 ]; do tries=$((tries - 1)); sleep 0.1; done
    kill -s KILL -- "-$group"
  fi
  tries=50
  until rm -rf -- "$1" || [ $tries = 0 ]; do tries=$((tries - 1)); sleep 0.1; done
`;

/** The temporary folder of one server, with a guard: neither the folder nor the server outlives this process. */
export class ServerFolder {
  private constructor(
    readonly path: string,
    private readonly guard: ChildProcess & { stdin: Writable },
  ) {}

  /** A folder that only `user` (otherwise whoever runs this) can read. */
  static async create(name: string, user?: SystemUser): Promise<ServerFolder> {
    const path = await mkdtemp(join(tmpdir(), `headroom-${name}-`));
    if (user !== undefined) await chown(path, user.uid, user.gid);
    // In a session of its own: Ctrl-C must end the tests and not the guard.
    const guard = spawn('sh', ['-c', GUARD, 'headroom-guard', path], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    await once(guard, 'spawn');
    guard.unref();
    return new ServerFolder(path, guard);
  }

  /** Prepares its data; when that fails, nothing is left. */
  async fill(prepare: () => Promise<unknown>): Promise<void> {
    try {
      await prepare();
    } catch (error) {
      await this.remove();
      throw error;
    }
  }

  /** From now on this process group dies with us. */
  watch(group: number, stopSignal: NodeJS.Signals): void {
    this.guard.stdin.write(`${group} ${stopSignal.replace('SIG', '')}\n`);
  }

  /** It has ended: its number may be somebody else's. */
  unwatch(): void {
    this.guard.stdin.write('0\n');
  }

  /** Once the server has stopped. */
  async remove(): Promise<void> {
    if (this.guard.exitCode !== null || this.guard.signalCode !== null) return;
    this.guard.ref();
    const ended = once(this.guard, 'exit');
    this.guard.stdin.end();
    await ended;
  }
}
