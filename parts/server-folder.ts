import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { SystemUser } from './command.js';

/**
 * Reads the process group of the running server, 0 for none, line by line. When the pipe closes, because its owner
 * removed the folder or because the owner is dead (kill -9 included), it stops the group, at the latest after five
 * seconds, and removes the folder. SIGTERM first: PostgreSQL leaves shared memory behind when it is killed.
 */
const GUARD = `
  group=0
  while read -r line; do group=$line; done
  if [ "$group" != 0 ]; then
    kill -s TERM -- "-$group"; kill -s CONT -- "-$group"
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

  /** From now on this process group dies with us; 0: none. */
  guardGroup(group: number): void {
    this.guard.stdin.write(`${group}\n`);
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
