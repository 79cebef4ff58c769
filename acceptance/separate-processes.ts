import { join } from 'node:path';
import { Client } from 'pg';
import { kafkaSettingsSchema, type KafkaSettings } from '#adapters/event-log/kafka-settings';
import { KEY_FILE, openLocalIdentity } from '#adapters/identity';
import {
  Deployed,
  poolsWithWorkers,
  SpreadApi,
  withWorkers,
  type Configuration,
  type Deployment,
  type Place,
} from './deployment.js';
import { bin, freePorts, type Workplace } from './headroom-process.js';
import { demandSettledOn } from './settled-demand.js';

/** Servers that the processes share. */
export interface Servers {
  /** host:port */
  kafka: string;
  /** postgres://… of a database from which others can be made. */
  postgres: string;
  /** What is another one's for a process; by its name. */
  own?: (name: string) => Surroundings;
}

/** What is a process's own, so that it alone can lose it. */
export interface Surroundings {
  /** host:port where it finds the servers: proxies. */
  kafka?: string;
  postgres?: string;
  env?: Record<string, string>;
}

/** Deployed, and where what it shares is found. */
export type SeparatelyDeployed = Deployed & {
  eventLog: KafkaSettings;
  /** postgres://… */
  database: string;
};

/** Named after their targets, in the order of their start. */
export const PLACES = [
  'fleet',
  'ingest-1',
  'ingest-2',
  'forecaster',
  'autoscaler-1',
  'autoscaler-2',
  'router-1',
  'router-2',
] as const;
export type PlaceName = (typeof PLACES)[number];
/** Its load goes to the first router, and begins when all others are ready. */
const SOURCES = 'sources';

/** Nine processes start at once; counting what they cover would take a quarter of it, and one process covers it as well. */
const UNCOUNTED = { NODE_V8_COVERAGE: '' };

let deployments = 0;

/** Two ingest, two autoscalers, two routers, a forecaster, a host of workers, on Kafka and PostgreSQL. */
export function separateProcesses(servers: () => Servers): Deployment {
  const start = (work: Workplace, given: Configuration) => startSeparately(work, given, servers());
  return { name: 'separate processes', slowness: 3, start };
}

/** See {@link Deployment.start}. */
export async function startSeparately(
  work: Workplace,
  configuration: Configuration,
  servers: Servers,
): Promise<SeparatelyDeployed> {
  const hasSources = Object.values(configuration.pools).some(({ source }) => source !== undefined);
  const addresses = await freeAddresses([...PLACES, ...(hasSources ? [SOURCES] : [])]);
  const shared = await sharedBy(work, servers);
  const launch = (name: string) =>
    launched(name, {
      work,
      addresses,
      shared: { ...configuration, ...shared },
      own: servers.own?.(name) ?? {},
    });
  const places = PLACES.map(launch);
  const api = new SpreadApi({
    everywhere: [...addresses.urls.values()],
    origins: (path) => servedBy(path).map((name) => addresses.urls.get(name) as string),
    bearer: await work.token('all'),
  });
  const routers = addresses.routerPorts.map((port) => `http://127.0.0.1:${port}`);
  const { eventLog, store } = shared;
  const deployed = new Deployed(places, api, routers, () =>
    demandSettledOn({ eventLog, database: store.url }),
  );
  await deployed.ready();
  await withWorkers(api, poolsWithWorkers(configuration));
  if (hasSources) places.push(launch(SOURCES));
  await deployed.ready();
  return Object.assign(deployed, { eventLog: shared.eventLog, database: shared.store.url });
}

interface Addresses {
  /** Origin of each process's API, by its name. */
  urls: ReadonlyMap<string, string>;
  routerPorts: number[];
}

async function freeAddresses(names: string[]): Promise<Addresses> {
  const ports = await freePorts(names.length + 2);
  const urls = new Map(names.map((name, i) => [name, `http://127.0.0.1:${ports[i]}`]));
  return { urls, routerPorts: ports.slice(names.length) };
}

/** What is the same in each configuration: a log, a store and a key of this deployment's own. */
async function sharedBy(work: Workplace, servers: Servers) {
  deployments += 1;
  const eventLog = kafkaSettingsSchema.parse({
    kind: 'kafka',
    brokers: [servers.kafka],
    replicationFactor: 1,
    prefix: `d${deployments}.`,
    sessionTimeoutMs: 6_000, // the shortest that a broker takes unasked
  });
  const store = { kind: 'postgres', url: await newDatabase(servers.postgres, `d${deployments}`) };
  await openLocalIdentity(work.dataDir, { create: true });
  return { eventLog, store, identity: { keyFile: join(work.dataDir, KEY_FILE) } };
}

interface Launch {
  work: Workplace;
  addresses: Addresses;
  shared: Configuration & Awaited<ReturnType<typeof sharedBy>>;
  own: Surroundings;
}

function launched(name: string, { work, addresses, shared, own }: Launch): Place {
  const { eventLog, store } = shared;
  const target = name.replace(/-\d$/, '');
  const url = addresses.urls.get(name) as string;
  const file = work.write(join(configFolderOf(name), 'headroom.yaml'), {
    ...shared,
    eventLog: { ...eventLog, brokers: own.kafka === undefined ? eventLog.brokers : [own.kafka] },
    store: { ...store, url: own.postgres === undefined ? store.url : at(own.postgres, store.url) },
    api: { port: Number(new URL(url).port) },
    router: { port: addresses.routerPorts[name === 'router-2' ? 1 : 0] },
    fleet:
      target === 'fleet'
        ? { kind: 'local-processes', eventsUrl: addresses.urls.get('ingest-1') }
        : { kind: 'remote', url: addresses.urls.get('fleet') },
  });
  const dataDir = join(work.folder, name);
  const command = [bin, 'start', '--config', file, '--data-dir', dataDir, '--target', target];
  const again = () => work.run(process.execPath, command, { ...UNCOUNTED, ...own.env });
  return { name, url, again, program: again() };
}

/** Below the workplace, by the name of the process: files that its configuration names are beside it. */
export function configFolderOf(name: string): string {
  return join('config', name);
}

/** The same at another host:port. */
function at(host: string, url: string): string {
  return Object.assign(new URL(url), { host }).href;
}

function servedBy(path: string): PlaceName[] {
  if (/^\/v1\/(events|webhooks|dead-letters|pools\/[^/]+\/history)/.test(path))
    return ['ingest-1', 'ingest-2'];
  if (path.startsWith('/v1/fleet')) return ['fleet'];
  return ['autoscaler-1', 'autoscaler-2'];
}

/** Url of a database that is made beside another one. */
export async function newDatabase(url: string, name: string): Promise<string> {
  const client = new Client(url);
  await client.connect();
  try {
    await client.query(`create database ${name}`);
  } finally {
    await client.end();
  }
  return Object.assign(new URL(url), { pathname: `/${name}` }).href;
}
