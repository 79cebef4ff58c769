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

export interface Redis extends ServerProcess {
  /** redis://… */
  url: string;
}

export async function startRedis(): Promise<Redis> {
  const program = locate();
  if (program === undefined) throw new PartMissing(`Redis ${OLDEST} or newer`);
  const folder = await ServerFolder.create('redis');
  const [port] = (await freePorts(1)) as [number];
  const settings = { bind: '127.0.0.1', port, dir: folder.path, save: '', appendonly: 'yes' };
  const server = await ServerProcess.start({
    name: 'redis',
    folder,
    command: [program, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])],
    ready: (log) => log.includes('Ready to accept connections'),
  });
  return Object.assign(server, { url: `redis://127.0.0.1:${port}` });
}
