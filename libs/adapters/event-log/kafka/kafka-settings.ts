import { z } from 'zod';

const file = z.string().min(1).max(4096);
const username = z.string().min(1).max(255);

const sasl = z
  .discriminatedUnion('mechanism', [
    z.strictObject({ mechanism: z.literal('plain'), username, passwordFile: file }),
    z.strictObject({ mechanism: z.literal('scram-sha-256'), username, passwordFile: file }),
    z.strictObject({ mechanism: z.literal('scram-sha-512'), username, passwordFile: file }),
    z.strictObject({
      mechanism: z.literal('oauthbearer'),
      tokenFile: file.describe('Read again for every login, so that another program may renew it.'),
    }),
  ])
  .describe(
    'Who Headroom is for the brokers. Secrets are files, relative to this one; a password is read once, at the start.',
  );

const tls = z
  .strictObject({
    caFile: file.optional().describe('Whom to trust, PEM. Left out: the authorities that Node.js knows.'),
    certFile: file.optional().describe('Headroom’s own certificate, PEM, when brokers ask for one.'),
    keyFile: file.optional().describe('Its key, PEM.'),
    serverName: z.string().min(1).max(253).optional().describe('Name in the brokers’ certificates.'),
  })
  .refine((value) => (value.certFile === undefined) === (value.keyFile === undefined), {
    path: ['keyFile'],
    message: 'a certificate together with its key',
  })
  .describe(
    'Connect by TLS. `{}` trusts the authorities that Node.js knows. Files are read once, at the start: new ones count after a restart.',
  );

const DAY_S = 86_400;

/** Partition bundles of a consumer group: no more members than these ever get work. */
const MAX_BUNDLES = 64;

/** The event log on Kafka 2.3 or newer, as the configuration says it. */
export const kafkaSettingsSchema = z.strictObject({
  kind: z.literal('kafka'),
  brokers: z
    .array(z.string().regex(/^[^\s:]+:\d{1,5}$/, 'host:port'))
    .min(1)
    .max(32)
    .describe('Some of the brokers, host:port; they name the others.'),
  clientId: z.string().min(1).max(100).default('headroom'),
  prefix: z
    .string()
    .max(100)
    .regex(/^[a-zA-Z0-9._-]*$/, 'letters, digits, dots, dashes and underscores')
    .default('')
    .describe('In front of every topic, group and transactional id, e.g. `prod.`; default: none.'),
  replicationFactor: z
    .number()
    .int()
    .min(1)
    .max(9)
    .default(3)
    .describe(
      'Copies of topics that Headroom makes; topics that exist stay as they are. What is acknowledged is in two of them, so with 2 nothing is written while one broker is away.',
    ),
  executionsRetentionS: z
    .number()
    .int()
    .min(900)
    .max(30 * DAY_S)
    .default(DAY_S)
    .describe(
      'How long executions.v1 keeps events, read or not, seconds: an ingest that stands still for longer loses the oldest ones. A day of 1,000 events a second is some 35 GB a copy.',
    ),
  producer: z
    .enum(['kafkajs', 'platformatic'])
    .default('kafkajs')
    .describe(
      'Client that appends. `platformatic` takes less CPU; what commits with offsets is always kafkajs’s.',
    ),
  compression: z
    .enum(['none', 'gzip', 'zstd'])
    .default('none')
    .describe(
      'Of what Headroom writes, and of executions.v1 when Headroom makes it. These three are what it can read as well; snappy and lz4 it cannot.',
    ),
  bundles: z
    .number()
    .int()
    .min(1)
    .max(MAX_BUNDLES)
    .default(8)
    .describe(
      'Partitions go to members of a group by the bundle, each with one transactional id: at most so many processes share a topic. Stop all of them to change it.',
    ),
  sessionTimeoutMs: z
    .number()
    .int()
    .min(1_000)
    .max(300_000)
    .default(10_000)
    .describe('A process that is silent this long loses its partitions; within the brokers’ own bounds.'),
  sasl: sasl.optional(),
  tls: tls.optional(),
});

/** The same settings with the paths of their files as `resolve` makes them. */
export function withFiles(settings: KafkaSettings, resolve: (path: string) => string): KafkaSettings {
  const resolved = <T extends object>(part: T): T =>
    Object.fromEntries(
      Object.entries(part).map(([key, value]) => [
        key,
        key.endsWith('File') ? resolve(value as string) : value,
      ]),
    ) as T;
  return {
    ...settings,
    ...(settings.sasl && { sasl: resolved(settings.sasl) }),
    ...(settings.tls && { tls: resolved(settings.tls) }),
  };
}

export type KafkaSettings = z.output<typeof kafkaSettingsSchema>;
export type KafkaSettingsInput = z.input<typeof kafkaSettingsSchema>;
