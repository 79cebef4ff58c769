import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findCommand, run, unprivileged } from './command.js';
import { freePorts } from './free-ports.js';
import { installedPart, printedVersion } from './installed.js';
import { PartMissing } from './part.js';
import { ServerFolder } from './server-folder.js';
import { ServerProcess } from './server-process.js';

// PostgreSQL as the system has it. Debian keeps its programs outside PATH, in a folder per major version.

const OLDEST = '15.0';
const DEBIAN = '/usr/lib/postgresql';
const INITDB_WITHIN_MS = 120_000;
const IPCRM_WITHIN_MS = 10_000;

/** That of PATH, otherwise Debian's newest; resolved, because its other programs lie beside it. */
function findPostgres(): string | undefined {
  const majors = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = majors.map((major) => join(DEBIAN, major, 'bin'));
  const found = findCommand('postgres', folders);
  return found === undefined ? undefined : realpathSync(found);
}

export const part = installedPart({
  name: 'postgres',
  locate: findPostgres,
  version: printedVersion,
  oldest: OLDEST,
  packages: ['postgresql'],
});

export interface PostgresOptions {
  /** Settings of the server. fsync is on unless it is switched off here. */
  settings?: Record<string, string | number>;
}

export interface Postgres extends ServerProcess {
  /** postgres://… of an empty database; the user app is its superuser and needs no password. */
  url: string;
}

export async function startPostgres({ settings = {} }: PostgresOptions = {}): Promise<Postgres> {
  const postgres = findPostgres();
  if (postgres === undefined) throw new PartMissing(`PostgreSQL ${OLDEST} or newer`);
  const user = unprivileged('postgres'); // it refuses to run as root
  const folder = await ServerFolder.create('postgres', user);
  const data = join(folder.path, 'data');
  await folder.fill(() => {
    const flags = ['-U', 'app', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'];
    const initdb = [join(dirname(postgres), 'initdb'), '-D', data, ...flags];
    return run(initdb, { withinMs: INITDB_WITHIN_MS, cwd: folder.path, user });
  });
  const [port] = (await freePorts(1)) as [number];
  const all: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    // In the data folder and not in /dev/shm, where a killed server would leave it.
    dynamic_shared_memory_type: 'mmap',
    ...settings,
  };
  const server = await ServerProcess.start({
    name: 'postgres',
    folder,
    user,
    command: [
      postgres,
      '-D',
      data,
      '-p',
      String(port),
      ...Object.entries(all).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
    ],
    stopSignal: 'SIGINT', // "fast": does not wait for clients to leave
    ready: (log) => log.includes('database system is ready to accept connections'),
    stopped: () => removeSharedMemory(data),
  });
  return Object.assign(server, { url: `postgres://app@127.0.0.1:${port}/postgres` });
}

/** What a killed server leaves in the kernel: postmaster.pid, line 7, is "key id" of its shared memory. */
async function removeSharedMemory(data: string): Promise<void> {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const id = (await readFile(file, 'utf8')).split('\n')[6]?.trim().split(/\s+/)[1];
  // It fails when the next start has cleaned up already.
  if (id !== undefined) await run(['ipcrm', '-m', id], { withinMs: IPCRM_WITHIN_MS }).catch(() => undefined);
}
