import { readdirSync, realpathSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findCommand, run, type SystemUser, unprivileged } from './command.js';
import { freePorts } from './free-ports.js';
import { installedPart } from './installed.js';
import { PartMissing } from './part.js';
import { ServerFolder } from './server-folder.js';
import { ServerProcess } from './server-process.js';

// RabbitMQ as the system has it, with an epmd (Erlang's name server) of its own: the usual one would be shared with
// the machine and outlive the broker.

const OLDEST = '3.10';
const NAMES_WITHIN_MS = 10_000;
/** The broker's own scripts; what Debian has on PATH is a wrapper that knows only the machine's broker. */
const DEBIAN = '/usr/lib/rabbitmq/bin/rabbitmq-server';

function locate(): string | undefined {
  const found = findCommand('epmd') && (findCommand(DEBIAN) ?? findCommand('rabbitmq-server'));
  return found === undefined ? undefined : realpathSync(found);
}

export const part = installedPart({
  name: 'rabbitmq',
  locate,
  // Not `rabbitmqctl version`, which leaves an epmd.
  version: async (program) =>
    readdirSync(join(dirname(program), '..', 'plugins')).find((name) => /^rabbit-\d/.test(name)) ?? 'unknown',
  oldest: OLDEST,
  packages: ['rabbitmq-server'],
});

export interface RabbitMq extends ServerProcess {
  /** amqp://… of the user guest, who may do everything. */
  url: string;
}

export interface RabbitMqOptions {
  /** Of the user guest. */
  password?: string;
}

export async function startRabbitMq({ password = 'guest' }: RabbitMqOptions = {}): Promise<RabbitMq> {
  const program = locate();
  if (program === undefined) throw new PartMissing(`RabbitMQ ${OLDEST} or newer`);
  const user = unprivileged('rabbitmq');
  const [port, distributionPort, epmdPort] = (await freePorts(3)) as [number, number, number];
  const epmd = await startEpmd(epmdPort, user);
  const folder = await ServerFolder.create('rabbitmq', user);
  const at = (name: string) => join(folder.path, name);
  const conf = [`listeners.tcp.1 = 127.0.0.1:${port}`, `load_definitions = ${at('definitions.json')}`];
  await writeFile(at('rabbitmq.conf'), `${conf.join('\n')}\n`);
  await writeFile(at('definitions.json'), JSON.stringify(definitionsOf({ name: 'guest', password })));
  await writeFile(at('enabled_plugins'), '[].\n');
  const server = await ServerProcess.start({
    name: 'rabbitmq',
    folder,
    user,
    command: [program],
    env: {
      HOME: folder.path, // for its cookie
      RABBITMQ_NODENAME: 'headroom@localhost',
      RABBITMQ_MNESIA_BASE: at('data'),
      RABBITMQ_LOG_BASE: at('log'),
      RABBITMQ_LOGS: '-',
      RABBITMQ_CONFIG_FILE: at('rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: at('enabled_plugins'),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_PID_FILE: at('pid'),
      RABBITMQ_DIST_PORT: String(distributionPort),
      // The Erlang machine in place of the script, not below it.
      RUNNING_UNDER_SYSTEMD: 'true',
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: String(epmdPort),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        '+S 2:2 +sbwt none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}',
    },
    ready: (log) => /Server startup complete|completed with \d+ plugins/.test(log),
    stopped: () => epmd.stop(),
  });
  const url = `amqp://guest:${encodeURIComponent(password)}@127.0.0.1:${port}`;
  return Object.assign(server, { url });
}

/** JSON, where any password can stand. */
function definitionsOf({ name: user, password }: { name: string; password: string }): object {
  const all = { configure: '.*', write: '.*', read: '.*' };
  return {
    users: [{ name: user, password, tags: 'administrator' }],
    vhosts: [{ name: '/' }],
    permissions: [{ user, vhost: '/', ...all }],
  };
}

async function startEpmd(port: number, user: SystemUser | undefined): Promise<ServerProcess> {
  const folder = await ServerFolder.create('epmd', user);
  const epmd = findCommand('epmd') as string;
  const names = [epmd, '-port', String(port), '-names'];
  return ServerProcess.start({
    name: 'epmd',
    folder,
    user,
    command: [epmd, '-address', '127.0.0.1', '-port', String(port)],
    ready: () =>
      run(names, { withinMs: NAMES_WITHIN_MS }).then(
        () => true,
        () => false,
      ),
  });
}
