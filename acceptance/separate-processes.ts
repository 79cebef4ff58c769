import { join } from 'node:path';
import { Client } from 'pg';
import { kafkaSettingsSchema } from '#adapters/event-log/kafka-settings';
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
import { freePorts, type Workplace } from './headroom-process.js';

/** Servers that the processes share. */
export interface Servers {
  /** host:port */
  kafka: string;
  /** postgres://… of a database from which others can be made. */
  postgres: string;
}

/** Named after their targets, in the order of their start. */
const PLACES = [
  'fleet',
  'ingest-1',
  'ingest-2',
  'forecaster',
  'autoscaler-1',
  'autoscaler-2',
  'router-1',
  'router-2',
];
/** Its load goes to the first router, and begins when all others are ready. */
const SOURCES = 'sources';

let deployments = 0;

/** Two ingest, two autoscalers, two routers, a forecaster, a host of workers, on Kafka and PostgreSQL. */
export function separateProcesses(servers: () => Servers): Deployment {
  return { name: 'separate processes', slowness: 3, start: (work, given) => start(work, given, servers()) };
}

async function start(work: Workplace, configuration: Configuration, servers: Servers): Promise<Deployed> {
  const hasSources = Object.values(configuration.pools).some(({ source }) => source !== undefined);
  const addresses = await freeAddresses([...PLACES, ...(hasSources ? [SOURCES] : [])]);
  const shared = await sharedBy(work, servers);
  const launch = (name: string) =>
    launched(name, { work, addresses, shared: { ...configuration, ...shared } });
  const places = PLACES.map(launch);
  const api = new SpreadApi({
    everywhere: [...addresses.urls.values()],
    origins: (path) => servedBy(path).map((name) => addresses.urls.get(name) as string),
    bearer: await work.token('all'),
  });
  const routers = addresses.routerPorts.map((port) => `http://127.0.0.1:${port}`);
  const deployed = new Deployed(places, api, routers);
  await deployed.ready();
  await withWorkers(api, poolsWithWorkers(configuration));
  if (hasSources) places.push(launch(SOURCES));
  await deployed.ready();
  return deployed;
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

function launched(
  name: string,
  { work, addresses, shared }: { work: Workplace; addresses: Addresses; shared: object },
): Place {
  const target = name.replace(/-\d$/, '');
  const url = addresses.urls.get(name) as string;
  const file = work.write(`${name}.yaml`, {
    ...shared,
    api: { port: Number(new URL(url).port) },
    router: { port: addresses.routerPorts[name === 'router-2' ? 1 : 0] },
    fleet:
      target === 'fleet'
        ? { kind: 'local-processes', eventsUrl: addresses.urls.get('ingest-1') }
        : { kind: 'remote', url: addresses.urls.get('fleet') },
  });
  const dataDir = join(work.folder, name);
  const again = () => work.headroom('start', '--config', file, '--data-dir', dataDir, '--target', target);
  return { url, again, program: again() };
}

function servedBy(path: string): string[] {
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
