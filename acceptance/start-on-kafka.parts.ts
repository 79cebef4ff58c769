import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import kafkajs from 'kafkajs';
import { startKafka, type Kafka } from '#parts/kafka';
import { DEADLINE_MS, freePorts, Workplace } from './headroom-process.js';

// What a start says of brokers that do not let it in, and of topics that somebody else made.

const PASSWORD = 'not-to-be-logged';
const PARTITIONS = 4;
const LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required';

let broker: Kafka;
const work = new Workplace();
beforeAll(async () => {
  broker = await startKafka({
    listeners: { SASL: { protocol: 'SASL_PLAINTEXT' } },
    properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
      'listener.name.sasl.sasl.enabled.mechanisms': 'PLAIN',
      'listener.name.sasl.plain.sasl.jaas.config': `${LOGIN} user_guest="${PASSWORD}";`,
    },
  });
}, 120_000);
afterEach(() => work.clean());
afterAll(() => broker.stop(), DEADLINE_MS);

async function startOn(eventLog: object) {
  const [apiPort, routerPort] = await freePorts(2);
  const configFile = work.write('headroom.yaml', {
    api: { port: apiPort },
    router: { port: routerPort },
    ingest: { partitions: PARTITIONS },
    eventLog: { kind: 'kafka', replicationFactor: 1, ...eventLog },
  });
  const program = work.start(configFile);
  return { ended: await program.ended, stderr: program.stderr };
}

test(
  'a topic with another policy: it exits with 2, and says what mends it',
  async () => {
    const client = new kafkajs.Kafka({ brokers: [broker.bootstrap], logLevel: kafkajs.logLevel.NOTHING });
    const admin = client.admin();
    await admin.connect();
    const configEntries = [{ name: 'cleanup.policy', value: 'compact' }];
    await admin.createTopics({
      topics: [
        { topic: 'other.executions.v1', numPartitions: PARTITIONS, replicationFactor: 1, configEntries },
      ],
    });
    await admin.disconnect();
    const { ended, stderr } = await startOn({ brokers: [broker.bootstrap], prefix: 'other.' });
    expect(ended).toEqual({ code: 2, signal: null });
    expect(stderr).toMatch(
      /^headroom: event log topic other\.executions\.v1: cleanup\.policy must be delete, got compact; .*\n {2}hint: kafka-configs --alter --topic other\.executions\.v1 --add-config cleanup\.policy=delete; /m,
    );
  },
  DEADLINE_MS,
);

test.each([
  ['a user who may do nothing', PASSWORD, /must be allowed, got \w+_AUTHORIZATION_FAILED .*kafka-acls/],
  ['a wrong password', `wrong, and ${PASSWORD}`, /brokers must accept the login/],
])(
  '%s: it exits with 4, and says what is missing',
  async (_who, password, reason) => {
    const sasl = { mechanism: 'plain', username: 'guest', passwordFile: work.write('password', password) };
    const { ended, stderr } = await startOn({ brokers: [broker.listeners['SASL']], sasl });
    expect(ended).toEqual({ code: 4, signal: null });
    expect(stderr).toMatch(reason);
    expect(stderr).not.toContain(password);
  },
  DEADLINE_MS,
);
