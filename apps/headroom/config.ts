import { z } from 'zod';
// The schemas alone: every command reads the configuration, and few need what it describes.
import { kafkaSettingsSchema } from '#adapters/event-log/kafka-settings';
import { syntheticSourceSchema } from '#adapters/sources/synthetic';
import { storeSchema } from '#adapters/store/settings';
import { poolName } from '#domain/events';
import { MAX_HORIZON_BUCKETS } from '#domain/forecasting';
import { policySchema, staleAfterS } from '#domain/scaling';
import { eventSourceSchema, readPlaces } from './event-sources-config.js';
import { isKnownMapping, mappingConfigSchema, mappingName } from './mappings/mapping-config.js';

const port = z.number().int().min(1).max(65_535);
const host = z.string().min(1).max(253).describe('Interface to listen on.');
const DAY_S = 86_400;
/** Between the moment a bucket may be used and the decision that uses it: counting, forecasting, the loop's period. */
const USE_ALLOWANCE_S = 2;

const api = z
  .strictObject({
    host: host.default('127.0.0.1'),
    port: port.default(8080),
    bodyLimitBytes: z
      .number()
      .int()
      .min(16_384)
      .max(64 * 1_048_576)
      .default(1_048_576)
      .describe('A larger request body is refused with 413.'),
  })
  .describe('Control-plane API: policies, pools, events, metrics.');

const router = z
  .strictObject({
    host: host.default('127.0.0.1'),
    port: port.default(8081),
    deadlineMs: z
      .number()
      .int()
      .min(1)
      .max(3_600_000)
      .default(10_000)
      .describe('A request that has no answer by then gets 504.'),
    queueLimit: z
      .number()
      .int()
      .min(0)
      .max(1_000_000)
      .default(2000)
      .describe('Requests that may wait in the router per pool; more get 503 with Retry-After.'),
  })
  .describe('Data path: the users’ requests.');

const log = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
  statusEveryS: z
    .number()
    .min(0)
    .max(3600)
    .default(5)
    .describe('One line per pool on standard output this often, seconds; 0 = none.'),
});

const ingest = z.strictObject({
  partitions: z
    .number()
    .int()
    .min(1)
    .max(256)
    .default(4)
    .describe('Partitions of executions.v1 and demand.v1. Cannot change once the data directory exists.'),
  dedupeWindowS: z
    .number()
    .int()
    .min(1)
    .max(3600)
    .default(300)
    .describe(
      'An event id that comes again within this time is counted once. A start reads the events of one and a half such times again, at most a million in the minute it has: with 300 s, keep below 2,000 events a second.',
    ),
  maxExecutionS: z
    .number()
    .int()
    .min(1)
    .max(30 * DAY_S)
    .default(3600)
    .describe('An execution whose end is never seen leaves in-flight after this time.'),
  maxPools: z
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(1000)
    .describe(
      'Pools in all, most of which their first event creates; beyond it their events go to the dead-letter topic. Set it above the number of pools that there will be; 10,000 are tested, and take up to two gigabytes in a process that forecasts or decides.',
    ),
});

const deadLetters = z
  .strictObject({
    payload: z
      .enum(['keep', 'redact'])
      .default('redact')
      .describe(
        'What executions.dlq.v1 keeps of records that count nowhere. redact: their size and SHA-256, by which their senders find them; they cannot be replayed. keep: all of them, readable for a week by whoever may read the topic or has the scope dead-letters:read. What is refused may be anything that was sent here by mistake.',
      ),
    maxPayloadBytes: z
      .number()
      .int()
      .min(1)
      .max(65_536)
      .default(16_384)
      .describe('Of a payload that is kept; a longer one is cut, and cannot be replayed.'),
  })
  .describe('Records that count nowhere.');

const url = z.url({ protocol: /^https?$/ });

const fleet = z
  .discriminatedUnion('kind', [
    z
      .strictObject({
        kind: z.literal('local-processes'),
        eventsUrl: url
          .optional()
          .describe(
            'Origin of the API that takes the workers’ events (target ingest). Default: this process’s own.',
          ),
      })
      .describe('The workers are processes of this machine: target fleet hosts them.'),
    z
      .strictObject({
        kind: z.literal('remote'),
        url: url.describe('Origin of the API of the process that hosts the workers (target fleet).'),
        tokenFile: z
          .string()
          .min(1)
          .optional()
          .describe(
            'Token for it with scopes fleet:read and fleet:scale, relative to this file; read again within 30 s when it is replaced. Default: tokens are signed with the own key.',
          ),
      })
      .describe('Another process hosts the workers.'),
  ])
  .describe('Who runs the workers of the pools.');

const eventLog = z
  .discriminatedUnion('kind', [z.strictObject({ kind: z.literal('embedded') }), kafkaSettingsSchema])
  .describe('Where events, demand, forecasts and decisions flow: in the data directory, or on Kafka.');

const identity = z.strictObject({
  tokenMaxS: z
    .number()
    .int()
    .min(60)
    .max(DAY_S)
    .default(DAY_S)
    .describe('Longest life of a token that is signed or accepted.'),
  keyFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Key that several processes share, relative to this file: a private one (mode 0600), or its public half (headroom key) for those that sign nothing. Default: the one in the data directory, which the first start makes.',
    ),
});

const worker = z.strictObject({
  slots: z.number().int().min(1).max(10_000).default(2).describe('Requests one worker serves at once.'),
  handlers: z
    .string()
    .min(1)
    .optional()
    .describe('Folder of handler modules, relative to this file. Without it the pool has no local workers.'),
  startDelayMs: z
    .number()
    .int()
    .min(0)
    .max(600_000)
    .default(0)
    .describe('Artificial delay of a worker’s start, to try out lead times.'),
  queueLimit: z
    .number()
    .int()
    .min(0)
    .max(100_000)
    .default(200)
    .describe('Requests waiting for a slot of one worker; more get 503.'),
  drainS: z
    .number()
    .min(0)
    .max(3600)
    .default(30)
    .describe('How long a worker that leaves may finish what it has.'),
});

const webhook = z.strictObject({
  secretFile: z
    .string()
    .min(1)
    .describe('File with the secret of the sender, relative to this file; several, one a line, all count.'),
  proof: z
    .enum(['signature', 'secret'])
    .default('signature')
    .describe(
      'signature: the header is the HMAC-SHA256 of the body, in hexadecimal or base64, with or without sha256= before it. secret: the header is the secret itself, for senders that cannot sign; whoever reads the connection learns it.',
    ),
  header: z
    .string()
    .regex(/^[a-z0-9-]{1,100}$/, 'the name of a header in lower case')
    .default('x-headroom-signature'),
});
export type WebhookConfig = z.output<typeof webhook>;

export const poolSchema = z
  .strictObject({
    bucketS: z.number().int().min(1).max(3600).default(10).describe('Length of a demand bucket, seconds.'),
    seasonsS: z
      .array(
        z
          .number()
          .int()
          .min(1)
          .max(366 * DAY_S),
      )
      .min(1)
      .max(3)
      .default([DAY_S])
      .describe('Seasons of the load in seconds, shortest first, e.g. a day and a week.'),
    latenessS: z
      .number()
      .min(0)
      .max(3600)
      .default(5)
      .describe(
        'An event later than its bucket’s end by more than this still corrects the bucket, and is counted.',
      ),
    settleMs: z
      .number()
      .int()
      .min(0)
      .max(60_000)
      .default(250)
      .describe(
        'Wait after a bucket’s end before it is used provisionally, ms. Short enough that it is fresh when it is used: 12,000 with buckets of 1 s.',
      ),
    leadTimeMaxS: z
      .number()
      .min(0)
      .max(DAY_S)
      .optional()
      .describe(
        'Longest lead time that forecasts must cover, seconds, and at most 9,999 buckets; default: startDelayMs of the worker and 5 s more.',
      ),
    trustExecutionIds: z
      .boolean()
      .default(false)
      .describe(
        'Take execution id and attempt from x-headroom-execution-id and x-headroom-attempt of a request. They decide what counts as demand: only when nobody but the platform itself can reach the router. Otherwise each request is an execution of its own.',
      ),
    worker: worker.prefault({}),
    policy: policySchema
      .prefault({})
      .describe('Policy the pool starts with; afterwards the API’s policy counts.'),
    source: syntheticSourceSchema.optional(),
  })
  .superRefine((value, context) => {
    value.seasonsS.forEach((seasonS, i) => {
      if (seasonS % value.bucketS !== 0) {
        context.addIssue({
          code: 'custom',
          path: ['seasonsS', i],
          message: `a multiple of bucketS (${value.bucketS})`,
        });
      }
      if (i > 0 && seasonS <= value.seasonsS[i - 1]!) {
        context.addIssue({
          code: 'custom',
          path: ['seasonsS', i],
          message: 'longer than the season before it',
        });
      }
    });
    // One bucket more is the farthest horizon. The default is far from it in buckets of any length.
    if ((value.leadTimeMaxS ?? 0) > (MAX_HORIZON_BUCKETS - 1) * value.bucketS) {
      context.addIssue({
        code: 'custom',
        path: ['leadTimeMaxS'],
        message: `at most ${MAX_HORIZON_BUCKETS - 1} buckets of ${value.bucketS} s`,
      });
    }
    const settleMaxMs = settleMsMax(value.bucketS);
    if (value.settleMs > settleMaxMs) {
      context.addIssue({
        code: 'custom',
        path: ['settleMs'],
        message: `at most ${settleMaxMs} with buckets of ${value.bucketS} s (beyond it demand and forecasts are stale when they are used, and every decision blind)`,
      });
    }
    if (value.source !== undefined && value.worker.handlers === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['worker', 'handlers'],
        message: 'a folder when the pool has a source',
      });
    }
  });

/** A bucket is used from its settling until the next one has settled; it must not be stale by then. */
function settleMsMax(bucketS: number): number {
  return (staleAfterS(bucketS) - bucketS - USE_ALLOWANCE_S) * 1000;
}

/** The whole configuration: one tree, each branch owned by its user, unknown keys refused. Units are in the names. */
export const configSchema = z
  .strictObject({
    $schema: z.string().optional().describe('For editors only.'),
    dataDir: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Where the store, the log and the key live, relative to this file. Default: .headroom of the project.',
      ),
    api: api.prefault({}),
    router: router.prefault({}),
    log: log.prefault({}),
    eventLog: eventLog.prefault({ kind: 'embedded' }),
    ingest: ingest.prefault({}),
    deadLetters: deadLetters.prefault({}),
    store: storeSchema
      .prefault({ kind: 'embedded' })
      .describe('Where policies, demand, forecasts and decisions are.'),
    identity: identity.prefault({}),
    fleet: fleet.prefault({ kind: 'local-processes' }),
    mappings: z
      .record(mappingName, mappingConfigSchema)
      .default({})
      .describe(
        'How records of other platforms become execution events, by name. Those in config/mappings are always there.',
      ),
    sources: z
      .record(mappingName, eventSourceSchema)
      .default({})
      .describe('Where execution events and demand come from beside executions.v1 and the API, by name.'),
    webhooks: z
      .record(mappingName, webhook)
      .default({})
      .describe(
        'By mapping: how senders that cannot bring a token prove to POST /v1/webhooks/<mapping> who they are.',
      ),
    pools: z
      .record(poolName, poolSchema)
      .default({})
      .describe('Pools by name: lower-case letters, digits and dashes.'),
  })
  .superRefine((value, context) => {
    for (const [name, source] of Object.entries(value.sources)) {
      const mapping = 'mapping' in source ? source.mapping : undefined;
      if (mapping !== undefined && !isKnownMapping(mapping, value.mappings)) {
        context.addIssue({ code: 'custom', path: ['sources', name, 'mapping'], message: 'a known mapping' });
      }
    }
    for (const [name, source] of Object.entries(value.sources)) {
      const { pools = {}, delayS } = 'pools' in source ? { delayS: undefined, ...source } : {};
      for (const pool of Object.keys(pools)) {
        const bucketS = value.pools[pool]?.bucketS;
        const path = ['sources', name, 'pools', pool];
        if (bucketS === undefined) context.addIssue({ code: 'custom', path, message: 'a pool of this file' });
        else if ((delayS ?? 0) > bucketS) {
          const message = `delayS at most the pool’s bucketS (${bucketS}): later its demand is stale`;
          context.addIssue({ code: 'custom', path, message });
        }
      }
    }
    const read = new Set<string>();
    for (const [name, source] of Object.entries(value.sources)) {
      for (const place of readPlaces(source)) {
        const message = `a source of its own: ${place} is read by another one`;
        if (read.has(place)) context.addIssue({ code: 'custom', path: ['sources', name], message });
        read.add(place);
      }
    }
    for (const name of Object.keys(value.webhooks)) {
      if (!isKnownMapping(name, value.mappings)) {
        context.addIssue({ code: 'custom', path: ['webhooks', name], message: 'the name of a mapping' });
      }
    }
    if (value.api.port === value.router.port) {
      context.addIssue({ code: 'custom', path: ['router', 'port'], message: 'another port than api.port' });
    }
    const pools = Object.keys(value.pools).length;
    if (pools > value.ingest.maxPools) {
      context.addIssue({
        code: 'custom',
        path: ['ingest', 'maxPools'],
        message: `at least the ${pools} pools of this file`,
      });
    }
  });
export type Config = z.output<typeof configSchema>;
export type PoolConfig = Config['pools'][string];

/** JSON Schema of the file for editors; docs/config.schema.json is this, checked by a test. */
export function configJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(configSchema, { io: 'input' }),
    title: 'Headroom configuration',
  };
}
