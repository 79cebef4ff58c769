import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder, fillCacheFolder } from './cache.js';
import { findCommand, run } from './command.js';
import { installPackages } from './debian.js';
import { freePorts } from './free-ports.js';
import { notOlder } from './installed.js';
import { OBTAIN_WITHIN_MS, type Part, PartMissing, PartRefused } from './part.js';
import { ServerFolder } from './server-folder.js';
import { ServerProcess } from './server-process.js';

// Apache Kafka, one node that is its own controller (KRaft): the jars of parts/kafka/pom.xml, checked against
// parts/kafka/<version>.sha256.

/** The first is what suites run on that ask for none. 4.2.0 keeps what commits while it restarts (docs/decisions/0021). */
const VERSIONS = ['4.4.0', '4.2.0'] as const;
export type KafkaVersion = (typeof VERSIONS)[number];
const OLDEST_JAVA = '17.0';
const JAVA_WITHIN_MS = 30_000;
const SOURCES = join(import.meta.dirname, '..', '..', 'parts', 'kafka');
const FORMAT_WITHIN_MS = 120_000;
const libs = (version: KafkaVersion) => cacheFolder('kafka', version);

export const part: Part = {
  name: 'kafka',
  find: async () => {
    const java = findCommand('java');
    if (java === undefined) return undefined;
    notOlder(await run([java, '-version'], { withinMs: JAVA_WITHIN_MS }), OLDEST_JAVA);
    const missing = await missingVersions();
    return missing.length > 0 ? undefined : `kafka ${VERSIONS.join(' and ')}, ${dirname(libs(VERSIONS[0]))}`;
  },
  obtain: async (say) => {
    const missing = [
      ...(findCommand('java') === undefined ? ['default-jre-headless'] : []),
      ...(findCommand('mvn') === undefined ? ['maven'] : []),
    ];
    if (missing.length > 0) await installPackages(missing, say);
    for (const version of await missingVersions()) await obtain(version, say);
  },
};

async function missingVersions(): Promise<KafkaVersion[]> {
  const complete = await Promise.all(
    VERSIONS.map(
      async (version) => existsSync(libs(version)) && (await wrongJars(version, libs(version))).length === 0,
    ),
  );
  return VERSIONS.filter((_, i) => !complete[i]);
}

function obtain(version: KafkaVersion, say: (line: string) => void): Promise<void> {
  return fillCacheFolder(libs(version), async (into) => {
    const copy = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${into}`];
    const pom = ['-f', join(SOURCES, 'pom.xml'), `-Dkafka.version=${version}`];
    await run(['mvn', '-B', '-ntp', '-C', ...pom, ...copy], { withinMs: OBTAIN_WITHIN_MS, say });
    const wrong = await wrongJars(version, into);
    if (wrong.length > 0)
      throw new PartRefused(`jars must be as in parts/kafka/${version}.sha256, got other ${wrong}`);
  });
}

/** Names of jars that are missing, too many, or not what their checksum says. */
async function wrongJars(version: KafkaVersion, folder: string): Promise<string[]> {
  const sums = (await readFile(join(SOURCES, `${version}.sha256`), 'utf8')).trim().split('\n');
  const expected = new Map(sums.map((line) => line.split(/\s+/).reverse() as [string, string]));
  const names = new Set([...expected.keys(), ...(await readdir(folder))]);
  const wrong = await Promise.all(
    [...names].map(async (name) => {
      const file = join(folder, name);
      const actual = existsSync(file)
        ? createHash('sha256')
            .update(await readFile(file))
            .digest('hex')
        : '';
      return actual === expected.get(name) ? [] : [name];
    }),
  );
  return wrong.flat();
}

export interface KafkaListener {
  protocol: 'PLAINTEXT' | 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL';
  /** What clients are told to connect to, when it is not the broker itself: the port of a proxy on 127.0.0.1. */
  advertisedPort?: number;
}

export interface KafkaOptions {
  /** Default: the newest that `npm run parts` obtains. */
  version?: KafkaVersion;
  /** Lines of server.properties beside ours; one of the same key wins. */
  properties?: Record<string, string | number | boolean>;
  /** Beside PLAINTEXT, by name (upper case); their addresses are in `listeners` of the result. */
  listeners?: Record<string, KafkaListener>;
  /** Users that the SASL listeners know from the start, by these mechanisms; others are for `properties`. */
  scramUsers?: readonly { name: string; password: string; mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-512' }[];
  /** Turns a command line into one that runs elsewhere, for example where `log.dirs` is a small disk. */
  inside?: (command: readonly string[]) => readonly string[];
}

export interface Kafka extends ServerProcess {
  /** Of the PLAINTEXT listener. */
  bootstrap: string;
  /** host:port of every listener of the options. */
  listeners: Record<string, string>;
}

/** 256 MB suffice for hundreds of topics; nothing of its own in /tmp. */
const JVM = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData'];

export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  const { version = VERSIONS[0] } = options;
  const java = findCommand('java');
  if (java === undefined || !existsSync(libs(version))) throw new PartMissing(`Kafka ${version} with java`);
  const folder = await ServerFolder.create('kafka');
  const names = Object.keys(options.listeners ?? {});
  const [port, controllerPort, ...ports] = (await freePorts(2 + names.length)) as [number, number];
  const listeners = Object.fromEntries(names.map((name, i) => [name, `127.0.0.1:${ports[i]}`]));
  const file = join(folder.path, 'server.properties');
  const program = (name: string, ...args: string[]): readonly string[] => {
    const flags = [
      ...JVM,
      `-Djava.io.tmpdir=${folder.path}/tmp`,
      `-Dlog4j2.configurationFile=${SOURCES}/log4j2.xml`,
    ];
    const command = [java, ...flags, '-cp', `${libs(version)}/*`, name, ...args];
    return options.inside?.(command) ?? command;
  };
  await folder.fill(async () => {
    await mkdir(join(folder.path, 'tmp'));
    await writeFile(
      file,
      serverProperties({ folder: folder.path, port, controllerPort, listeners, options }),
    );
    const format = program('kafka.tools.StorageTool', 'format', ...formatArguments(file, options));
    await run(format, { withinMs: FORMAT_WITHIN_MS });
  });
  const server = await ServerProcess.start({
    name: 'kafka',
    folder,
    command: program('kafka.Kafka', file),
    ready: (log) => log.includes('Kafka Server started'),
  });
  return Object.assign(server, { bootstrap: `127.0.0.1:${port}`, listeners });
}

function formatArguments(file: string, { scramUsers = [] }: KafkaOptions): string[] {
  const users = scramUsers.flatMap(({ name, password, mechanism }) => [
    '--add-scram',
    `${mechanism}=[name=${name},password=${password}]`,
  ]);
  return ['-t', 'aGVhZHJvb20ta2Fma2EtMQ', '-c', file, ...users];
}

function serverProperties(given: {
  folder: string;
  port: number;
  controllerPort: number;
  listeners: Record<string, string>;
  options: KafkaOptions;
}): string {
  const { folder, port, controllerPort, listeners, options } = given;
  const bound: Record<string, string> = { PLAINTEXT: `127.0.0.1:${port}`, ...listeners };
  const advertised = Object.entries(bound).map(([name, address]) => {
    const other = options.listeners?.[name]?.advertisedPort;
    return [name, other === undefined ? address : `127.0.0.1:${other}`] as const;
  });
  const protocols = Object.entries(options.listeners ?? {}).map(
    ([name, { protocol }]) => `${name}:${protocol}`,
  );
  const join = (pairs: readonly (readonly [string, string])[]) =>
    pairs.map(([name, address]) => `${name}://${address}`).join(',');
  return lines({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: join([...Object.entries(bound), ['CONTROLLER', `127.0.0.1:${controllerPort}`]]),
    'advertised.listeners': join(advertised),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': ['PLAINTEXT:PLAINTEXT', 'CONTROLLER:PLAINTEXT', ...protocols].join(','),
    'log.dirs': `${folder}/data`,
    'auto.create.topics.enable': false,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
    'log.cleaner.dedupe.buffer.size': 16 * 1024 * 1024,
    // After SIGKILL a broker may come back when its session has ended: 9 s by default.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    ...scramProperties(options),
    ...options.properties,
  });
}

function scramProperties({ listeners = {}, scramUsers = [] }: KafkaOptions): Record<string, string> {
  const mechanisms = [...new Set(scramUsers.map(({ mechanism }) => mechanism))];
  const names = Object.keys(listeners).filter((name) => listeners[name]?.protocol.startsWith('SASL'));
  const module = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  const properties = mechanisms.flatMap((mechanism) =>
    names.map((name) => [
      `listener.name.${name.toLowerCase()}.${mechanism.toLowerCase()}.sasl.jaas.config`,
      module,
    ]),
  );
  return mechanisms.length === 0
    ? {}
    : { 'sasl.enabled.mechanisms': mechanisms.join(','), ...Object.fromEntries(properties) };
}

/** A backslash escapes in a properties file. */
function lines(properties: Record<string, string | number | boolean>): string {
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${String(value).replaceAll('\\', '\\\\')}\n`)
    .join('');
}
