import { join } from 'node:path';
import { Client } from 'pg';
import { KafkaEventLog, kafkaSettingsSchema, TOPICS, topicSpecs } from '#adapters/event-log';
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

/** In the order of their start. */
const PLACES = [
  ['fleet', 'fleet'],
  ['ingest-1', 'ingest'],
  ['ingest-2', 'ingest'],
  ['forecaster', 'forecaster'],
  ['autoscaler-1', 'autoscaler'],
  ['autoscaler-2', 'autoscaler'],
  ['router-1', 'router'],
  ['router-2', 'router'],
] as const;
const SOURCES = ['sources', 'sources'] as const;

let deployments = 0;

/** Two ingest, two autoscalers, two routers, a forecaster, a host of workers, on Kafka and PostgreSQL. */
export function separateProcesses(servers: () => Servers): Deployment {
  return { name: 'separate processes', slowness: 5, start: (work, given) => start(work, given, servers()) };
}

async function start(work: Workplace, configuration: Configuration, servers: Servers): Promise<Deployed> {
  deployments += 1;
  const eventLog = kafkaSettingsSchema.parse({
    kind: 'kafka',
    brokers: [servers.kafka],
    replicationFactor: 1,
    prefix: `d${deployments}.`,
    sessionTimeoutMs: 3_000,
  });
  const store = { kind: 'postgres', url: await newDatabase(servers.postgres, `d${deployments}`) };
  await openLocalIdentity(work.dataDir, { create: true });
  const identity = { keyFile: join(work.dataDir, KEY_FILE) };
  const hasSources = Object.values(configuration.pools).some(({ source }) => source !== undefined);
  const places = [...PLACES, ...(hasSources ? [SOURCES] : [])];
  const ports = await freePorts(places.length + 2);
  const urlOf = (name: string) => `http://127.0.0.1:${ports[places.findIndex(([own]) => own === name)]}`;
  const routerPorts = ports.slice(-2);
  const fleetOf = (target: string) =>
    target === 'fleet'
      ? { kind: 'local-processes', eventsUrl: urlOf('ingest-1') }
      : { kind: 'remote', url: urlOf('fleet') };
  const running: Place[] = [];
  for (const [i, [name, target]] of places.entries()) {
    const file = work.write(`${name}.yaml`, {
      ...configuration,
      eventLog,
      store,
      identity,
      api: { port: ports[i] },
      // A source sends to the first.
      router: { port: routerPorts[name === 'router-2' ? 1 : 0] },
      fleet: fleetOf(target),
    });
    const dataDir = join(work.folder, name);
    const again = () => work.headroom('start', '--config', file, '--data-dir', dataDir, '--target', target);
    running.push({ url: urlOf(name), again, program: again() });
  }
  const token = await work.token('all');
  const all = running.map(({ url }) => url);
  const api = new SpreadApi(all, (path) => servedBy(path).map(urlOf), token);
  const routers = routerPorts.map((port) => `http://127.0.0.1:${port}`);
  const deployed = new Deployed(running, api, routers, () => deadLetters(eventLog));
  await deployed.ready();
  await withWorkers(api, poolsWithWorkers(configuration));
  return deployed;
}

function servedBy(path: string): string[] {
  if (/^\/v1\/(events|webhooks)/.test(path)) return ['ingest-1', 'ingest-2'];
  if (path.startsWith('/v1/fleet')) return ['fleet'];
  return ['autoscaler-1', 'autoscaler-2'];
}

async function newDatabase(url: string, name: string): Promise<string> {
  const client = new Client(url);
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  return Object.assign(new URL(url), { pathname: `/${name}` }).href;
}

async function deadLetters(settings: Parameters<typeof KafkaEventLog.open>[0]) {
  const log = await KafkaEventLog.open(settings, { note: () => undefined });
  try {
    await log.ensureTopics(topicSpecs({ partitions: 4, dedupeWindowS: 300 }));
    return await log.read({ topic: TOPICS.deadLetters, partition: 0, offset: 0, maxRecords: 1000 });
  } finally {
    await log.close();
  }
}
