import { z } from 'zod';

// What the version before looks at in each message: frozen, like messages.json, which is what it wrote. It runs beside
// this version while processes are replaced one after the other (docs/decisions/0020).

const epochMs = z.number().positive().max(4_102_444_800_000);
const name = z.string().min(1).max(200);

const executionEvent = z.object({
  specversion: z.literal('1.0'),
  id: name,
  source: name,
  type: z.enum([
    'com.headroom.execution.queued.v1',
    'com.headroom.execution.started.v1',
    'com.headroom.execution.completed.v1',
    'com.headroom.execution.failed.v1',
  ]),
  subject: name,
  time: z.iso.datetime({ offset: true }).optional(),
  datacontenttype: z.literal('application/json').optional(),
  traceparent: z.string().max(100).optional(),
  data: z.object({
    pool: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
    taskType: name.optional(),
    attempt: z.number().int().min(1).max(1000).optional(),
    workerId: name.optional(),
    errorClass: name.optional(),
    queuedAtMs: epochMs,
    startedAtMs: epochMs.optional(),
    endedAtMs: epochMs.optional(),
  }),
});

const sketch = z.object({
  count: z.number(),
  sum: z.number(),
  zeros: z.number(),
  offset: z.number().int(),
  bins: z.array(z.number()),
});

const demandPartial = z.object({
  v: z.literal(1),
  pool: z.string(),
  bucketS: z.number(),
  range: z.object({ partition: z.number().int(), from: z.number().int(), to: z.number().int() }),
  watermarkMs: z.number(),
  buckets: z.array(
    z.object({
      startMs: z.number(),
      arrivals: z.number(),
      retries: z.number(),
      starts: z.number(),
      completions: z.number(),
      failures: z.number(),
      abandonments: z.number(),
      rejections: z.number(),
      expiredQueued: z.number(),
      expiredStarted: z.number(),
      waitMs: sketch,
      serviceMs: sketch,
      responseMs: sketch,
    }),
  ),
});

const forecast = z.object({
  v: z.literal(1),
  pool: z.string(),
  originMs: z.number().int(),
  bucketS: z.number().positive(),
  horizons: z
    .array(
      z.object({
        horizonS: z.number().positive(),
        levels: z.array(z.number()),
        values: z.array(z.number().nonnegative()),
      }),
    )
    .min(1),
  provenance: z.object({
    weights: z.record(z.string(), z.number()),
    historyBuckets: z.number().int().nonnegative(),
    state: z.enum(['warm', 'reactive-only']),
  }),
});

const decisionRecord = z.object({
  v: z.literal(1),
  decision: z.object({
    kind: z.enum(['scale', 'hold', 'blind']),
    pool: z.string(),
    atMs: z.number().int(),
    desired: z.number(),
    previousDesired: z.number(),
    reason: z.string(),
    explanation: z.string(),
    neededNow: z.number().optional(),
    pricedLevel: z.number().optional(),
    pricedHorizonS: z.number().optional(),
    objectiveReachable: z.boolean(),
    limits: z.array(z.object({ limit: z.string(), from: z.number(), to: z.number() })),
  }),
  memory: z.object({
    v: z.literal(1),
    recentDesired: z.array(z.object({ atMs: z.number(), desired: z.number() })),
    recentChanges: z.array(z.object({ atMs: z.number(), delta: z.number() })),
    lastDesired: z.number(),
    lastNowMs: z.number(),
  }),
  policyVersion: z.number().int(),
});

const json = <Schema extends z.ZodType>(schema: Schema) =>
  z
    .string()
    .transform((text): unknown => JSON.parse(text))
    .pipe(schema);
const count = z.string().regex(/^\d{1,9}$/);

/** A record of executions.dlq.v1: what is said of the letter is in its headers. */
export const LETTER_READ_BEFORE = z.object({
  key: z.string(),
  value: z.string().nullable(),
  headers: z.object({
    'headroom-reason': z.string(),
    'headroom-detail': z.string(),
    'headroom-source': z.string(),
    'headroom-about': json(z.record(z.string(), z.unknown())),
    'headroom-payload': z.enum(['kept', 'cut', 'redacted']),
    'headroom-payload-bytes': count,
    'headroom-payload-sha256': z.string().regex(/^[0-9a-f]{64}$/),
    'headroom-mapping': z.string().optional(),
    'headroom-elements': json(z.object({ refused: z.array(z.int()), of: z.int() })).optional(),
    'headroom-replays': count.optional(),
    'headroom-replayed-from': z
      .string()
      .regex(/^[\w.-]{1,100}\[\d{1,6}\]@\d{1,16}$/)
      .optional(),
  }),
});

/** By topic. */
export const READ_BEFORE: Readonly<Record<string, z.ZodType>> = {
  'executions.v1': executionEvent,
  'demand.v1': demandPartial,
  'forecasts.v1': forecast,
  'decisions.v1': decisionRecord,
};

/** Of ingest-state.v1, by the first word of the key; what has another one is passed over. */
export const STATE_READ_BEFORE: Readonly<Record<string, z.ZodType>> = {
  progress: z.object({
    to: z.number().int(),
    nowMs: z.number(),
    watermarkMs: z.number(),
    dedupeWindowS: z.number(),
  }),
  chain: z.object({ since: z.number().int(), to: z.number().int() }),
  open: z.object({ pool: z.string(), queuedAtMs: z.number(), started: z.boolean(), firstSeenMs: z.number() }),
  expired: z.number(),
};
