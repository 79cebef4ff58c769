import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import kafkajs, { type Admin, type ISocketFactory } from 'kafkajs';
import { startKafka, type Kafka } from '#parts/kafka';
import { LogForbidden, LogUnreachable } from '../event-log.js';
import { KafkaEventLog, type KafkaEventLogOptions } from './kafka-event-log.js';
import { kafkaSettingsSchema, type KafkaSettingsInput } from './kafka-settings.js';

jest.setTimeout(60_000);

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;
const UNTIL_WITHIN_MS = 50_000;
/** Shorter than brokers allow by default, so that a dead member is missed soon. */
const SESSION_MS = 2_000;
const PASSWORD = 'not-to-be-logged';
const TOPIC = { partitions: 1, retentionMs: 3_600_000, compacted: false };
const SASL = 'org.apache.kafka.common.security';

let folder: string;
let broker: Kafka;
let admin: Admin;
let passwordFile: string;
let tls: { caFile: string; certFile: string; keyFile: string };
const opened: KafkaEventLog[] = [];
const notes: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-security-'));
  passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, `${PASSWORD}\n`);
  tls = makeCertificates();
  const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'];
  const plain = `${SASL}.plain.PlainLoginModule required user_headroom="${PASSWORD}";`;
  const scram = `${SASL}.scram.ScramLoginModule required;`;
  const bearer = `${SASL}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`;
  broker = await startKafka({
    listeners: { SASL: { protocol: 'SASL_PLAINTEXT' }, TLS: { protocol: 'SSL' } },
    scramUsers: (['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const).flatMap((mechanism) =>
      ['headroom', 'guest', 'tenant'].map((name) => ({ name, password: PASSWORD, mechanism })),
    ),
    properties: {
      'group.min.session.timeout.ms': SESSION_MS,
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS;User:headroom;User:CN=headroom',
      'listener.name.sasl.sasl.enabled.mechanisms': mechanisms.join(','),
      'listener.name.sasl.plain.sasl.jaas.config': plain,
      'listener.name.sasl.scram-sha-256.sasl.jaas.config': scram,
      'listener.name.sasl.scram-sha-512.sasl.jaas.config': scram,
      'listener.name.sasl.oauthbearer.sasl.jaas.config': bearer,
      'listener.name.tls.ssl.keystore.location': join(folder, 'broker.p12'),
      'listener.name.tls.ssl.keystore.password': PASSWORD,
      'listener.name.tls.ssl.keystore.type': 'PKCS12',
      'listener.name.tls.ssl.truststore.location': tls.caFile,
      'listener.name.tls.ssl.truststore.type': 'PEM',
      'listener.name.tls.ssl.client.auth': 'required',
    },
  });
  const client = new kafkajs.Kafka({ brokers: [broker.bootstrap], logLevel: kafkajs.logLevel.NOTHING });
  admin = client.admin();
  await admin.connect();
}, 120_000);
afterAll(async () => {
  await admin.disconnect();
  await broker.stop();
  rmSync(folder, { recursive: true });
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((log) => log.close()));
});

/** A certificate authority, and what it has signed for the broker and for Headroom. */
function makeCertificates(): typeof tls {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=ca');
  for (const name of ['broker', 'headroom']) {
    const [keyFile, request, certificate] = [`${name}.key`, `${name}.csr`, `${name}.pem`];
    openssl('req', ...key, '-keyout', keyFile, '-out', request, '-subj', `/CN=${name}`);
    writeFileSync(join(folder, 'names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost');
    const signed = [
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'names',
    ];
    openssl('x509', '-req', '-in', request, '-out', certificate, ...signed);
  }
  const store = ['-out', 'broker.p12', '-passout', `pass:${PASSWORD}`];
  openssl('pkcs12', '-export', '-in', 'broker.pem', '-inkey', 'broker.key', '-certfile', 'ca.pem', ...store);
  const file = (name: string) => join(folder, name);
  return { caFile: file('ca.pem'), certFile: file('headroom.pem'), keyFile: file('headroom.key') };
}

async function openLog(
  given: Partial<KafkaSettingsInput>,
  options: KafkaEventLogOptions = {},
): Promise<KafkaEventLog> {
  const settings = kafkaSettingsSchema.parse({ kind: 'kafka', replicationFactor: 1, brokers: [], ...given });
  const log = await KafkaEventLog.open(settings, { note: (text) => notes.push(text), ...options });
  opened.push(log);
  return log;
}

const overSasl = (sasl: KafkaSettingsInput['sasl'], more: Partial<KafkaSettingsInput> = {}) =>
  openLog({ brokers: [broker.listeners['SASL'] as string], sasl, ...more });
const overTls = (settings: KafkaSettingsInput['tls']) =>
  openLog({ brokers: [broker.listeners['TLS'] as string], tls: settings });

/** Appends and reads back, a member of a group included. */
async function works(log: KafkaEventLog): Promise<boolean> {
  await log.ensureTopics([{ ...TOPIC, name: 'secure.v1' }]);
  await log.append('secure.v1', [{ key: 'k', value: 'v' }]);
  const seen = Promise.withResolvers<boolean>();
  await log.subscribe({
    group: `g${opened.length}`,
    topics: ['secure.v1'],
    commits: true,
    onBatch: async () => seen.resolve(true),
    onFailed: seen.reject,
  });
  return seen.promise;
}

/** A token as the broker's own test issuer makes them: not signed. */
function unsignedToken(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const nowS = Math.floor(Date.now() / 1000);
  return `${part({ alg: 'none' })}.${part({ sub: 'headroom', iat: nowS, exp: nowS + 3_600 })}.`;
}

test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('login by %s', async (mechanism) => {
  expect(await works(await overSasl({ mechanism, username: 'headroom', passwordFile }))).toBe(true);
});

test('login by OAUTHBEARER: the token comes from a file, or from a function', async () => {
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, unsignedToken());
  expect(await works(await overSasl({ mechanism: 'oauthbearer', tokenFile }))).toBe(true);
  const brokers = [broker.listeners['SASL'] as string];
  const sasl = { mechanism: 'oauthbearer', tokenFile: 'none' } as const;
  expect(await works(await openLog({ brokers, sasl }, { token: async () => unsignedToken() }))).toBe(true);
});

test('TLS, with a certificate of our own', async () => {
  expect(await works(await overTls(tls))).toBe(true);
});

test('the second client logs in and encrypts as well', async () => {
  const sasl = { mechanism: 'scram-sha-512', username: 'headroom', passwordFile } as const;
  expect(await works(await overSasl(sasl, { producer: 'platformatic' }))).toBe(true);
  const brokers = [broker.listeners['TLS'] as string];
  expect(await works(await openLog({ brokers, tls, producer: 'platformatic' }))).toBe(true);
});

test('a certificate that nobody trusts is refused, and so is none where one is asked for', async () => {
  const topic = [{ ...TOPIC, name: 'secure.v1' }];
  const unknown = await (await overTls({})).ensureTopics(topic).catch((error: Error) => error);
  expect(unknown).toBeInstanceOf(LogUnreachable);
  expect((unknown as Error).message).toMatch(/self-signed certificate|unable to .* certificate/);
  await expect((await overTls({ caFile: tls.caFile })).ensureTopics(topic)).rejects.toThrow(LogUnreachable);
});

test('a wrong password is not allowed, and is written nowhere', async () => {
  writeFileSync(join(folder, 'wrong'), 'also-not-to-be-logged');
  const log = await overSasl({
    mechanism: 'scram-sha-256',
    username: 'headroom',
    passwordFile: join(folder, 'wrong'),
  });
  const refused = await log.ensureTopics([{ ...TOPIC, name: 'secure.v1' }]).catch((error: Error) => error);
  expect(refused).toBeInstanceOf(LogForbidden);
  expect((refused as Error).message).toMatch(/must accept the login.*eventLog\.sasl/);
  const written = [...notes, JSON.stringify(refused), String((refused as Error).stack)].join();
  expect(written).not.toContain('not-to-be-logged');
});

test('files that cannot be read are named', async () => {
  const missing = join(folder, 'nowhere');
  await expect(overSasl({ mechanism: 'plain', username: 'x', passwordFile: missing })).rejects.toThrow(
    `eventLog.sasl.passwordFile: must be a readable file, got ENOENT (${missing})`,
  );
  await expect(overTls({ caFile: missing })).rejects.toThrow(/^eventLog\.tls\.caFile: /);
});

test('no broker at all is unreachable', async () => {
  const log = await openLog({ brokers: ['127.0.0.1:1'] });
  await expect(log.ensureTopics([{ ...TOPIC, name: 'secure.v1' }])).rejects.toThrow(LogUnreachable);
});

test('what a user may not do is said, by topic, group and transaction', async () => {
  const prefix = 'acl.';
  const owner = await overSasl({ mechanism: 'plain', username: 'headroom', passwordFile }, { prefix });
  await owner.ensureTopics([{ ...TOPIC, name: 'in.v1' }]);
  const guest = await overSasl({ mechanism: 'scram-sha-256', username: 'guest', passwordFile }, { prefix });
  const topics = [{ ...TOPIC, name: 'in.v1' }];
  await expect(guest.ensureTopics(topics)).rejects.toThrow(LogForbidden);
  await allow(AclResourceTypes.TOPIC, 'acl.in.v1', AclOperationTypes.DESCRIBE);
  await allow(AclResourceTypes.TOPIC, 'acl.in.v1', AclOperationTypes.DESCRIBE_CONFIGS);
  await until(() =>
    guest.ensureTopics(topics).then(
      () => true,
      () => false,
    ),
  );
  const append = () => guest.append('in.v1', [{ key: 'k', value: 'v' }]);
  await expect(append()).rejects.toThrow(
    /writing acl\.in\.v1: must be allowed, got (TOPIC|CLUSTER)_AUTHORIZATION_FAILED.*kafka-acls/,
  );
  const second = await overSasl(
    { mechanism: 'scram-sha-256', username: 'guest', passwordFile },
    { prefix, producer: 'platformatic' },
  );
  await second.ensureTopics(topics);
  await expect(second.append('in.v1', [{ key: 'k', value: 'v' }])).rejects.toThrow(
    /writing acl\.in\.v1: must be allowed, got \w+_AUTHORIZATION_FAILED/,
  );
  const failed = Promise.withResolvers<Error>();
  const subscription = {
    group: 'g',
    topics: ['in.v1'],
    onBatch: async () => undefined,
    onFailed: failed.resolve,
  };
  await expect(guest.subscribe(subscription)).rejects.toThrow(
    /group acl\.g: must be allowed, got GROUP_AUTHORIZATION_FAILED/,
  );
  await allow(AclResourceTypes.GROUP, 'acl.g', AclOperationTypes.READ);
  await until(() =>
    guest.subscribe(subscription).then(
      () => true,
      () => false,
    ),
  );
  expect((await failed.promise).message).toMatch(/reading.*must be allowed, got TOPIC_AUTHORIZATION_FAILED/);
  await allow(AclResourceTypes.TOPIC, 'acl.in.v1', AclOperationTypes.READ);
  const committing = guest.subscribe({ ...subscription, commits: true });
  await expect(committing).rejects.toThrow(
    /transactions acl\.g\.0: must be allowed, got TRANSACTIONAL_ID_AUTHORIZATION_FAILED/,
  );
});

const PAGE = join(import.meta.dirname, ...Array<string>(5).fill('..'), 'docs', 'kafka.md');
const GRANTS = /((?:--operation \w+ )+)--(topic|group|transactional-id) headroom\./g;
const RESOURCES = {
  topic: AclResourceTypes.TOPIC,
  group: AclResourceTypes.GROUP,
  'transactional-id': AclResourceTypes.TRANSACTIONAL_ID,
};

/** What the commands in docs/kafka.md allow a user, from its own prefix on. */
async function allowAsDocumented(user: string, prefix: string): Promise<void> {
  const grants = [...readFileSync(PAGE, 'utf8').matchAll(GRANTS)];
  const acl = grants.flatMap(([, operations = '', resource = '']) =>
    [...operations.matchAll(/--operation (\w+)/g)].map(([, name = '']) => ({
      resourceType: RESOURCES[resource as keyof typeof RESOURCES],
      resourceName: prefix,
      resourcePatternType: ResourcePatternTypes.PREFIXED,
      operation: operationOf(name),
      permissionType: AclPermissionTypes.ALLOW,
      principal: `User:${user}`,
      host: '*',
    })),
  );
  expect(acl).toHaveLength(6);
  await admin.createAcls({ acl });
}

/** `DescribeConfigs` of the command is DESCRIBE_CONFIGS of the library. */
function operationOf(name: string): number {
  const own = name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
  return AclOperationTypes[own as keyof typeof AclOperationTypes];
}

test('a user who is allowed what docs/kafka.md says, and nothing else, lacks nothing', async () => {
  const prefix = 'tenant.';
  await allowAsDocumented('tenant', prefix);
  const sasl = { mechanism: 'scram-sha-512', username: 'tenant', passwordFile } as const;
  const topics = ['in.v1', 'out.v1'].map((name) => ({ ...TOPIC, name }));
  for (const producer of ['kafkajs', 'platformatic'] as const) {
    const log = await overSasl(sasl, { prefix, producer });
    await until(() =>
      log.ensureTopics(topics).then(
        () => true,
        () => false,
      ),
    );
    await log.append('in.v1', [{ key: 'k', value: producer }]);
  }
  const log = await overSasl(sasl, { prefix });
  await log.ensureTopics(topics);
  const outcome = Promise.withResolvers<string>();
  await log.subscribe({
    group: 'g',
    topics: ['in.v1'],
    commits: true,
    onBatch: async ({ topic, partition, records }, member) => {
      const offset = records.at(-1)!.offset + 1;
      const outputs = [{ topic: 'out.v1', records: [{ key: 'k', value: 'counted' }] }];
      outcome.resolve(await member.commit({ outputs, offsets: [{ topic, partition, offset }] }));
    },
    onFailed: outcome.reject,
  });
  expect(await outcome.promise).toBe('committed');
  expect(await log.lag({ group: 'g', topic: 'in.v1' })).toMatchObject({ ageMs: expect.any(Number) });
  await until(async () => {
    const [read] = await log.read({ topic: 'out.v1', partition: 0, offset: 0, maxRecords: 1 });
    return read?.value === 'counted';
  });
});

const { DESCRIBE, DESCRIBE_CONFIGS, IDEMPOTENT_WRITE, READ, WRITE } = AclOperationTypes;
const GUEST = { mechanism: 'scram-sha-256', username: 'guest' } as const;

/** A log of the guest over connections that are watched, with a topic that it may read. */
async function watchedGuest(prefix: string): Promise<{ guest: KafkaEventLog; wire: WatchedWire }> {
  const wire = new WatchedWire();
  const brokers = [broker.listeners['SASL'] as string];
  const options = { socketFactory: wire.factory };
  const sasl = { ...GUEST, passwordFile };
  const guest = await openLog({ brokers, prefix, sasl, sessionTimeoutMs: SESSION_MS }, options);
  for (const operation of [DESCRIBE, DESCRIBE_CONFIGS, READ])
    await allow(AclResourceTypes.TOPIC, `${prefix}in.v1`, operation);
  await allow(AclResourceTypes.GROUP, `${prefix}g`, READ);
  await until(() =>
    guest.ensureTopics([{ ...TOPIC, partitions: 2, name: 'in.v1' }]).then(
      () => true,
      () => false,
    ),
  );
  return { guest, wire };
}

/** Connections, and what was asked over them, by Kafka's numbers of requests. */
class WatchedWire {
  private readonly sockets: Socket[] = [];
  readonly asked: number[] = [];

  readonly factory: ISocketFactory = ({ host, port, onConnect }) => {
    const socket = connect({ host, port }, onConnect);
    const write = socket.write.bind(socket) as (bytes: Buffer, encoding?: BufferEncoding) => boolean;
    socket.write = ((bytes: Buffer, encoding?: BufferEncoding) => {
      this.asked.push(bytes.readInt16BE(4));
      return write(bytes, encoding);
    }) as typeof socket.write;
    this.sockets.push(socket);
    return socket;
  };

  get open(): number {
    return this.sockets.filter((socket) => !socket.destroyed).length;
  }

  count(request: number): number {
    return this.asked.filter((one) => one === request).length;
  }
}
const JOIN_GROUP = 11;

test('a member that may use some of its transactional ids only is refused, and leaves no connection open', async () => {
  const prefix = 'some.';
  const owner = await openLog({ brokers: [broker.bootstrap], prefix });
  await owner.ensureTopics([{ ...TOPIC, partitions: 2, name: 'in.v1' }]);
  const { guest, wire } = await watchedGuest(prefix);
  for (const operation of [DESCRIBE, WRITE])
    await allow(AclResourceTypes.TRANSACTIONAL_ID, `${prefix}g.0`, operation);
  await allow(AclResourceTypes.CLUSTER, 'kafka-cluster', IDEMPOTENT_WRITE); // which the library asks for as well
  const subscription = { group: 'g', topics: ['in.v1'], commits: true, onBatch: async () => undefined };
  let said = '';
  const wanted = /transactions some\.g\.1: must be allowed/;
  const isRefused = async () => {
    said = await guest.subscribe(subscription).then(
      () => 'welcome',
      ({ message }: Error) => message,
    );
    return wanted.test(said);
  };
  await until(isRefused).catch(() => undefined);
  expect(said).toMatch(wanted);
  await guest.close();
  await until(() => wire.open === 0);
});

test('a member that fails while it waits to join again does not come back', async () => {
  const prefix = 'zombie.';
  const owner = await openLog({ brokers: [broker.bootstrap], prefix });
  await owner.ensureTopics([{ ...TOPIC, partitions: 2, name: 'in.v1' }]);
  const { guest, wire } = await watchedGuest(prefix);
  const failed = Promise.withResolvers<Error>();
  const group = { group: 'g', topics: ['in.v1'] };
  await guest.subscribe({ ...group, onBatch: async () => undefined, onFailed: failed.resolve });
  // The others wait for a member whose batch takes its time.
  const [atHand, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow = await owner.subscribe({
    ...group,
    onBatch: () => {
      atHand.resolve();
      return mayEnd.promise;
    },
  });
  await owner.append(
    'in.v1',
    slow.assignment().map(({ partition }) => ({ key: 'k', value: 'v', partition })),
  );
  await atHand.promise;
  const joins = wire.count(JOIN_GROUP);
  const joining = owner.subscribe({ ...group, onBatch: async () => undefined });
  await until(() => wire.count(JOIN_GROUP) > joins);
  await deny(AclResourceTypes.TOPIC, `${prefix}in.v1`, READ);
  expect(await failed.promise).toBeInstanceOf(LogForbidden);
  const joinsOfAll = wire.count(JOIN_GROUP);
  mayEnd.resolve();
  const heir = await joining;
  await until(async () => {
    const { groups } = await admin.describeGroups([`${prefix}g`]);
    const owned = slow.assignment().length + heir.assignment().length;
    return groups[0]?.members.length === 2 && owned === 2;
  });
  await guest.close();
  await until(() => wire.open === 0);
  expect(wire.count(JOIN_GROUP)).toBe(joinsOfAll);
});

const allow = (...on: [type: number, name: string, operation: number]) => rule(AclPermissionTypes.ALLOW, on);
const deny = (...on: [type: number, name: string, operation: number]) => rule(AclPermissionTypes.DENY, on);

async function rule(
  permissionType: number,
  [resourceType, resourceName, operation]: [number, string, number],
) {
  const resourcePatternType = ResourcePatternTypes.LITERAL;
  const who = { principal: 'User:guest', host: '*', permissionType };
  await admin.createAcls({ acl: [{ resourceType, resourceName, resourcePatternType, operation, ...who }] });
}

/** Brokers learn of a rule a moment after it was made. */
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadlineMs = performance.now() + UNTIL_WITHIN_MS;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`must be so within ${UNTIL_WITHIN_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test.each([
  ['kafkajs', 'gzip'],
  ['kafkajs', 'zstd'],
  ['platformatic', 'gzip'],
  ['platformatic', 'zstd'],
] as const)(
  'what %s writes, compressed by %s, is smaller and is read back',
  async (producer, compression) => {
    const value = 'compressible '.repeat(100);
    const prefix = `${producer}.${compression}.`;
    const log = await openLog({ brokers: [broker.bootstrap], producer, compression, prefix });
    await log.ensureTopics([{ ...TOPIC, name: 'in.v1' }]);
    await log.append(
      'in.v1',
      Array.from({ length: 50 }, (_, i) => ({ key: `k${i}`, value })),
    );
    const read = await log.read({ topic: 'in.v1', partition: 0, offset: 0, maxRecords: 100 });
    expect(read.map((record) => record.value)).toEqual(Array<string>(50).fill(value));
    const bytes = readFileSync(join(broker.folder, 'data', `${prefix}in.v1-0`, '00000000000000000000.log'));
    expect(bytes.length).toBeLessThan(10_000);
  },
);
