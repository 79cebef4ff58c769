import { findCommand } from './command.js';
import { freePorts } from './free-ports.js';
import { installedPart, printedVersion } from './installed.js';
import { PartMissing } from './part.js';
import { ServerFolder } from './server-folder.js';
import { ServerProcess } from './server-process.js';

// Redis as the system has it.

const OLDEST = '7.0';
const locate = () => findCommand('redis-server');

export const part = installedPart({
  name: 'redis',
  locate,
  version: printedVersion,
  oldest: OLDEST,
  packages: ['redis-server'],
});

export interface RedisOptions {
  /** Lines of redis.conf beside ours; one of the same name wins. */
  settings?: Record<string, string | number>;
}

export interface Redis extends ServerProcess {
  /** redis://… */
  url: string;
}

export async function startRedis({ settings = {} }: RedisOptions = {}): Promise<Redis> {
  const program = locate();
  if (program === undefined) throw new PartMissing(`Redis ${OLDEST} or newer`);
  const folder = await ServerFolder.create('redis');
  const [port] = (await freePorts(1)) as [number];
  const all = { bind: '127.0.0.1', port, dir: folder.path, save: '', appendonly: 'yes', ...settings };
  const server = await ServerProcess.start({
    name: 'redis',
    folder,
    command: [program, ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)])],
    ready: (log) => log.includes('Ready to accept connections'),
  });
  return Object.assign(server, { url: `redis://127.0.0.1:${port}` });
}
