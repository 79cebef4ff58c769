import { z } from 'zod';
import type { Route } from '#adapters/http-api';
import { poolName } from '#domain/events';
import { LEVELS, forecastSchema } from '#domain/forecasting';
import { policySchema } from '#domain/scaling';

const MAX_PAGE = 500;

export const poolParams = z.strictObject({ pool: poolName });
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(50),
  cursor: poolName.optional().describe('`nextCursor` of the page before.'),
});
/** Newest first; the cursor is a number. */
export const seriesQuery = pageQuery.extend({
  cursor: z.coerce.number().int().optional().describe('`nextCursor` of the page before.'),
});

const nextCursor = <T extends z.ZodType>(cursor: T) =>
  cursor.nullable().describe('Pass it as `cursor` for the next page; null at the end.');

export const policyAnswer = z.object({
  pool: z.string(),
  version: z.number().int(),
  updatedAt: z.iso.datetime(),
  policy: policySchema,
});
const policyPage = z.object({ items: z.array(policyAnswer), nextCursor: nextCursor(z.string()) });

const workers = z.object({
  ready: z.number(),
  starting: z.number(),
  draining: z.number(),
  desired: z.number(),
  maxWorkers: z.number().optional().describe('The most workers the fleet runs, whatever the policy allows.'),
  slotsPerWorker: z.number(),
  leadTimeS: z.number(),
});
const inputs = z
  .object({
    demandAsOfMs: z.number().optional().describe('End of the newest bucket counted, epoch ms.'),
    arrivalRatePerS: z.number().optional(),
    attemptsPerArrival: z.number().optional(),
    backlog: z.number().optional().describe('Attempts whose start was not told.'),
    waiting: z
      .number()
      .optional()
      .describe('Of the backlog, what is not being served already; the reaction works it off.'),
    serviceMsMean: z.number().optional(),
    reactionMarginRatio: z.number().optional().describe('Of the policy.'),
    forecastOriginMs: z.number().optional().describe('Start of the last bucket the forecast knew, epoch ms.'),
    forecastLeadS: z.number().optional().describe('Longest lead time that the forecast covers.'),
    readyWorkers: z.number().optional(),
    slotsPerWorker: z.number().optional(),
    leadTimeS: z.number().optional(),
  })
  .describe(
    'What the decision saw, by value; what is missing was not known. Of the last one of equal holds.',
  );
export const decisionAnswer = z.object({
  id: z
    .string()
    .describe(
      'Pool and time, epoch ms, as in the log’s `decision`; of equal holds, which are one record, the first.',
    ),
  pool: z.string(),
  kind: z.enum(['scale', 'hold', 'blind']),
  firstAt: z.iso.datetime(),
  lastAt: z.iso.datetime(),
  /** Equal consecutive holds are one record. */
  count: z.number().int(),
  desired: z.number(),
  previousDesired: z.number(),
  reason: z.string(),
  explanation: z.string(),
  inputs,
  neededNow: z.number().optional(),
  pricedLevel: z.number().optional(),
  pricedHorizonS: z.number().optional(),
  objectiveReachable: z.boolean(),
  limits: z.array(z.object({ limit: z.string(), from: z.number(), to: z.number() })),
  memory: z.record(z.string(), z.unknown()).describe('What the decision remembered when it was made last.'),
  policyVersion: z.number().int(),
});
const poolAnswer = z.object({
  pool: z.string(),
  bucketS: z.number(),
  seasonsS: z.array(z.number()),
  mode: z.string(),
  policyVersion: z.number().int(),
  workers: workers.nullable().describe('null: nobody here runs workers for this pool.'),
  decision: z
    .object({ kind: z.string(), desired: z.number(), reason: z.string(), explanation: z.string() })
    .nullable()
    .describe('The latest decision; null before the first.'),
});

const latency = z
  .object({ count: z.number(), meanMs: z.number(), p50Ms: z.number(), p95Ms: z.number(), p99Ms: z.number() })
  .nullable()
  .describe('null: nothing ended in this bucket.');
export const demandAnswer = z.object({
  start: z.iso.datetime(),
  bucketS: z.number(),
  arrivals: z.number(),
  retries: z.number(),
  starts: z.number(),
  completions: z.number(),
  failures: z.number(),
  abandonments: z.number(),
  rejections: z.number(),
  expiredQueued: z.number(),
  expiredStarted: z.number(),
  wait: latency,
  service: latency,
  response: latency,
});

const UNKNOWN_POOL = { 404: 'The pool has no policy, so it is not known.' };
const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), nextCursor: nextCursor(z.number()) });

export const AUTOSCALER_ROUTES = {
  listPolicies: {
    method: 'GET',
    path: '/v1/policies',
    summary: 'Policies in order of their pool',
    scope: 'policies:read',
    query: pageQuery,
    response: policyPage,
  },
  getPolicy: {
    method: 'GET',
    path: '/v1/policies/:pool',
    summary: 'One policy; its version is the ETag',
    scope: 'policies:read',
    params: poolParams,
    response: policyAnswer,
    responseHeaders: { ETag: 'Version of the policy.' },
    refusals: UNKNOWN_POOL,
  },
  putPolicy: {
    method: 'PUT',
    path: '/v1/policies/:pool',
    summary:
      'Create a policy (If-None-Match: *) or replace the version that was seen (If-Match); one of both',
    scope: 'policies:write',
    params: poolParams,
    body: policySchema,
    response: policyAnswer,
    requestHeaders: {
      'If-Match': 'ETag of the version that is replaced, several, or * for any.',
      'If-None-Match': '* to create. Not together with If-Match.',
    },
    responseHeaders: { ETag: 'New version of the policy.' },
    refusals: {
      409: 'There is no room for another pool (ingest.maxPools).',
      412: 'The policy is at another version by now, exists already, or is gone.',
      428: 'Neither If-Match nor If-None-Match was given.',
    },
  },
  deletePolicy: {
    method: 'DELETE',
    path: '/v1/policies/:pool',
    summary:
      'Delete the version that was seen; the pool is no longer decided for, its workers stay, and within seconds its place is free. A later event of the pool creates it again, in mode observe. Not for a pool of the configuration',
    scope: 'policies:write',
    params: poolParams,
    status: 204,
    requestHeaders: { 'If-Match': 'ETag of the version that is deleted, several, or * for any.' },
    refusals: {
      409: 'The configuration declares the pool: the next start would make its policy again.',
      412: 'The policy is at another version by now, or is gone.',
      428: 'If-Match was not given.',
    },
  },
  listPools: {
    method: 'GET',
    path: '/v1/pools',
    summary: 'Pools with their workers and latest decision',
    scope: 'pools:read',
    query: pageQuery,
    response: z.object({ items: z.array(poolAnswer), nextCursor: nextCursor(z.string()) }),
  },
  getPool: {
    method: 'GET',
    path: '/v1/pools/:pool',
    summary: 'One pool with its workers and latest decision',
    scope: 'pools:read',
    params: poolParams,
    response: poolAnswer,
    refusals: UNKNOWN_POOL,
  },
  demand: {
    method: 'GET',
    path: '/v1/pools/:pool/demand',
    summary: 'Demand per bucket, newest first; a bucket without events is left out',
    scope: 'pools:read',
    params: poolParams,
    query: seriesQuery,
    response: pageOf(demandAnswer),
    refusals: UNKNOWN_POOL,
  },
  forecast: {
    method: 'GET',
    path: '/v1/pools/:pool/forecast',
    summary: `Forecasts, newest first: arrivals per bucket at the levels ${LEVELS.join(', ')}`,
    scope: 'pools:read',
    params: poolParams,
    query: seriesQuery.extend({ limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(1) }),
    response: pageOf(forecastSchema),
    refusals: UNKNOWN_POOL,
  },
  decisions: {
    method: 'GET',
    path: '/v1/pools/:pool/decisions',
    summary: 'Decisions, newest first; equal consecutive holds are one record',
    scope: 'pools:read',
    params: poolParams,
    query: seriesQuery,
    response: pageOf(decisionAnswer),
    refusals: UNKNOWN_POOL,
  },
} as const satisfies Record<string, Route>;
