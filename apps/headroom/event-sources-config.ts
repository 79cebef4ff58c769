import { z } from 'zod';
import { poolName } from '#domain/events';
import { mappingName } from './mappings/mapping-config.js';

const mapping = mappingName.describe('How its records become execution events.');
const mappingOrEvents = mappingName
  .optional()
  .describe('How its records become execution events; without one they are CloudEvents already.');

const url = (protocols: readonly [string, string]) =>
  z
    .string()
    .max(1000)
    .refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
      message: `an address that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    })
    .describe('Address of the server; with an s before the colon by TLS.');

/** They would be sent by nobody, and stand in what is logged. */
const hasNoCredentials = (text: string) => {
  const { username, password } = URL.parse(text) ?? { username: '', password: '' };
  return username === '' && password === '';
};

const passwordFile = z
  .string()
  .min(1)
  .optional()
  .describe('File with the password of the user in `url`, relative to this file.');

/** Topics that Headroom itself writes: reading one as somebody else's would never end. */
const OWN_TOPIC = /^(executions|ingest-state|demand|forecasts|decisions|tasks)(\..+)?\.v\d+$/;

const kafka = z
  .strictObject({
    kind: z.literal('kafka'),
    topic: z
      .string()
      .regex(/^(?!\.{1,2}$)[\w.-]{1,249}$/, 'the name of a topic')
      .describe('A topic that others write to, by its whole name: eventLog.prefix is not put before it.'),
    mapping: mappingOrEvents,
  })
  .describe('A topic of the brokers of eventLog. Each record of it counts exactly once.');

const redisStreams = z
  .strictObject({
    kind: z.literal('redis-streams'),
    url: url(['redis:', 'rediss:']),
    passwordFile,
    streams: z.array(z.string().min(1).max(500)).min(1).max(64).describe('Keys of the streams.'),
    group: z
      .string()
      .min(1)
      .max(100)
      .default('headroom')
      .describe('Consumer group; made where it is missing.'),
    from: z
      .enum(['new', 'beginning'])
      .default('new')
      .describe('Where a group that is made begins: with what is added from now on, or with what is there.'),
    mapping,
  })
  .describe('Entries of Redis Streams, e.g. of BullMQ (mapping bullmq-events).');

const rabbitMq = z
  .strictObject({
    kind: z.literal('rabbitmq'),
    url: url(['amqp:', 'amqps:']),
    passwordFile,
    queue: z.string().min(1).max(255).describe('Its messages are consumed: a queue for Headroom alone.'),
    declare: z
      .boolean()
      .default(true)
      .describe('Make it, durable and a quorum queue, where it is missing; otherwise it must be there.'),
    bindings: z
      .array(
        z.strictObject({
          exchange: z.string().min(1).max(255),
          routingKey: z.string().max(255).default('#'),
        }),
      )
      .max(64)
      .default([])
      .describe('Exchanges that the queue gets its messages from.'),
    mapping: mappingOrEvents,
  })
  .describe('Messages of a RabbitMQ queue.');

const promQl = z.string().min(1).max(10_000);
const delayS = z
  .number()
  .min(0)
  .max(3600)
  .optional()
  .describe(
    'What is older than this is known to the source, seconds, at most a bucket; default: one bucket.',
  );

const prometheus = z
  .strictObject({
    kind: z.literal('prometheus'),
    url: url(['http:', 'https:']).refine(hasNoCredentials, {
      message: 'an address without user and password',
    }),
    tokenFile: z.string().min(1).optional().describe('File with a bearer token, relative to this file.'),
    delayS,
    pools: z
      .record(
        poolName,
        z.strictObject({
          arrivals: promQl.describe(
            'Arrivals per second, e.g. sum(rate(jobs_added_total{queue="etl"}[1m])).',
          ),
          inFlight: promQl.optional().describe('Executions that are being served.'),
          backlog: promQl.optional().describe('Executions that wait.'),
          serviceMeanS: promQl
            .optional()
            .describe('Mean service time, seconds. Default: what is in flight ÷ what arrives.'),
          serviceBuckets: promQl
            .optional()
            .describe('Service times as a histogram by le, in seconds: better than a mean.'),
        }),
      )
      .refine((pools) => Object.keys(pools).length > 0, { message: 'at least one pool' })
      .describe('What to ask for each pool. Each query must give one series, but for serviceBuckets.'),
  })
  .describe('Demand as Prometheus has measured it, bucket by bucket.');

const rabbitMqDepth = z
  .strictObject({
    kind: z.literal('rabbitmq-depth'),
    url: url(['amqp:', 'amqps:']),
    passwordFile,
    pools: z
      .record(poolName, z.strictObject({ queue: z.string().min(1).max(255) }))
      .refine((pools) => Object.keys(pools).length > 0, { message: 'at least one pool' })
      .describe('The work queue of each pool.'),
  })
  .describe('Messages that wait in a work queue as the backlog of a pool. Arrivals come from events.');

/** One entry of `sources`: where execution events or demand come from beside executions.v1 and the API. */
export const eventSourceSchema = z.discriminatedUnion('kind', [
  kafka,
  redisStreams,
  rabbitMq,
  prometheus,
  rabbitMqDepth,
]);
export type EventSourceConfig = z.output<typeof eventSourceSchema>;

/** What of a source must be its own: two readers of one thing would be one group, or count it twice. */
export function readPlaces(source: EventSourceConfig): string[] {
  switch (source.kind) {
    case 'kafka':
      return [`topic ${source.topic}`];
    case 'redis-streams':
      return source.streams.map((stream) => `stream ${stream} of ${placeOf(source.url)}`);
    case 'rabbitmq':
      return [`queue ${source.queue} of ${placeOf(source.url)}`];
    case 'prometheus':
      return Object.keys(source.pools).map((pool) => `the demand of pool ${pool}`);
    case 'rabbitmq-depth':
      return Object.keys(source.pools).map((pool) => `the backlog of pool ${pool}`);
  }
}

/** Why a topic cannot be read, as far as the event log decides it. */
export function topicProblem(
  topic: string,
  eventLog: { kind: 'embedded' } | { kind: 'kafka'; prefix: string },
): string | undefined {
  if (eventLog.kind !== 'kafka')
    return 'eventLog.kind kafka: topics of others are read where the event log is';
  const { prefix } = eventLog;
  const bare = topic.startsWith(prefix) ? topic.slice(prefix.length) : topic;
  const isOwn = OWN_TOPIC.test(topic) || OWN_TOPIC.test(bare);
  return isOwn ? 'a topic that Headroom does not write itself' : undefined;
}

/** Without user and password. */
function placeOf(address: string): string {
  if (!URL.canParse(address)) return address;
  const { host, pathname } = new URL(address);
  return `${host}${pathname}`;
}
