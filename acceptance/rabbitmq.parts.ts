import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startRabbitMq, type RabbitMq } from '#parts/rabbitmq';
import { ApiClient } from './api-client.js';
import { eventually, freePorts, Workplace } from './headroom-process.js';
import { completed } from './sent-events.js';

// A platform on a real RabbitMQ, unchanged: what it publishes of its executions is demand, and what waits in its work queue
// is backlog.

const EXCHANGE = 'platform';
const TASKS = 'tasks.etl';
const EXECUTIONS = 300;
const WAITING = 40;
const work = new Workplace();
let rabbit: RabbitMq;
let connection: ChannelModel;
let channel: ConfirmChannel;

beforeAll(async () => {
  rabbit = await startRabbitMq();
  connection = await connect(rabbit.url);
  channel = await connection.createConfirmChannel();
  await channel.assertExchange(EXCHANGE, 'topic', { durable: true });
  await channel.assertQueue(TASKS, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
}, 60_000);
afterAll(async () => {
  await connection?.close();
  await work.clean();
  await rabbit?.stop();
}, 60_000);

test('messages of an exchange count once, and the depth of a work queue is backlog', async () => {
  const [apiPort, routerPort] = await freePorts(2);
  const program = work.start(
    work.write('headroom.yaml', {
      api: { port: apiPort },
      router: { port: routerPort },
      log: { statusEveryS: 0 },
      pools: { etl: { bucketS: 1, seasonsS: [60], policy: { mode: 'reactive' } } },
      sources: {
        events: {
          kind: 'rabbitmq',
          url: rabbit.url,
          queue: 'headroom',
          bindings: [{ exchange: EXCHANGE, routingKey: 'executions.#' }],
        },
        depth: { kind: 'rabbitmq-depth', url: rabbit.url, pools: { etl: { queue: TASKS } } },
      },
    }),
  );
  await program.line(/^headroom: ready/m);
  const api = new ApiClient(`http://127.0.0.1:${apiPort}`, await work.token('all'));
  await eventually('a connected source', async () => {
    const metrics = await api.metrics();
    return metrics.get('headroom_record_source_connected_ratio{source="events"}') === 1 || undefined;
  });
  const message = (content: object) => Buffer.from(JSON.stringify(content));
  for (let n = 0; n < WAITING; n++) channel.sendToQueue(TASKS, message({ n }), { persistent: true });
  for (let n = 0; n < EXECUTIONS; n++) {
    const event = completed({ id: `job-${n}`, pool: 'etl', queuedAtMs: Date.now() - 100 });
    channel.publish(EXCHANGE, 'executions.completed', message(event), { persistent: true });
    channel.publish(EXCHANGE, 'other', message({ n }), { persistent: true });
  }
  await channel.waitForConfirms();

  const arrivals = async () => {
    const buckets = await api.all<{ arrivals: number }>('/v1/pools/etl/demand');
    return buckets.reduce((sum, bucket) => sum + bucket.arrivals, 0);
  };
  await eventually('all executions', async () => (await arrivals()) >= EXECUTIONS || undefined);
  await eventually('a decision that sees what waits', async () => {
    const decisions = await api.all<{ inputs: { backlog?: number } }>('/v1/pools/etl/decisions');
    return decisions.some(({ inputs }) => inputs.backlog === WAITING) || undefined;
  });
  expect(await arrivals()).toBe(EXECUTIONS);
  expect((await channel.checkQueue('headroom')).messageCount).toBe(0);
  program.kill('SIGTERM');
  expect(await program.ended).toEqual({ code: 0, signal: null });
}, 120_000);
