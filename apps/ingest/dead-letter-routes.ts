import { z } from 'zod';
import type { Route } from '#adapters/http-api';
import { MAX_REPLAYED_LETTERS, MAX_REPLAYS } from './dead-letter-replay.js';
import { MAX_SCANNED_LETTERS } from './dead-letter-topic.js';
import { PAYLOAD_STATES, REPLAY_REFUSALS } from './dead-letter.js';

/** Letters of one page. */
const MAX_PAGE = 200;
const MAX_PARTITION = 999_999;
const time = z.iso.datetime({ offset: true });
const cursor = z
  .string()
  .regex(/^\d{1,6}-\d{1,15}$/, 'a `nextCursor`')
  .describe('`nextCursor` of the answer before.');

const filter = {
  reason: z
    .string()
    .regex(/^\w{1,100}$/, 'a reason')
    .optional()
    .describe('Why it counts nowhere, e.g. too_many_pools.'),
  source: z
    .string()
    .min(1)
    .max(1000)
    .optional()
    .describe('How its source begins, up to a whole word: a topic, `POST /v1/events`, `redis jobs`.'),
  from: time.optional().describe('Written then or later.'),
  to: time.optional().describe('Written before.'),
};
const filterSchema = z.strictObject(filter);
export type LetterConditions = z.output<typeof filterSchema>;

export const letterQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(50),
  cursor: cursor.optional(),
  ...filter,
});
export const letterParams = z.strictObject({
  partition: z.coerce.number().int().min(0).max(MAX_PARTITION),
  offset: z.coerce.number().int().min(0),
});
const letterPlace = z.strictObject({ partition: z.int().min(0).max(MAX_PARTITION), offset: z.int().min(0) });

const payload = z.object({
  state: z
    .enum(PAYLOAD_STATES)
    .describe('kept: all of the record is here; cut: a part; redacted: nothing of its payload.'),
  bytes: z.int().describe('Of the whole payload.'),
  sha256: z.string().describe('Of the whole payload: by this its sender finds it.'),
});
const summary = z.object({
  partition: z.int(),
  offset: z.int(),
  at: z.iso.datetime().describe('When it was written.'),
  reason: z.string(),
  detail: z.string(),
  source: z.string().describe('Where the record was: executions.v1[2]@17, POST /v1/events.'),
  mapping: z.string().optional(),
  key: z.string(),
  replays: z.int().describe('How often the record had been replayed when it was refused this time.'),
  payload,
});
const letterAnswer = summary.extend({
  payload: payload.extend({ text: z.string().nullable() }),
  headers: z.record(z.string(), z.string()).describe('As they came with the record.'),
  about: z.record(z.string(), z.unknown()).describe('What its source knew about it: its topic and offset.'),
  elements: z
    .object({ refused: z.array(z.int()), of: z.int() })
    .optional()
    .describe('Of its elements those that are refused; absent: all of the record is.'),
  replayedFrom: z.string().optional().describe('The letter that the last replay was of.'),
});

export const replayBody = z.union([
  z.strictObject({
    letters: z.array(letterPlace).min(1).max(MAX_REPLAYED_LETTERS),
  }),
  z.strictObject({
    filter: filterSchema.refine((given) => Object.keys(given).length > 0, {
      message: 'at least one condition',
    }),
    limit: z
      .int()
      .min(1)
      .max(MAX_REPLAYED_LETTERS)
      .describe('The newest letters that match, at most so many.'),
    cursor: cursor.optional(),
  }),
]);
const replayAnswer = z.object({
  replayed: z.int(),
  refused: z.int(),
  letters: z.array(
    z.object({
      partition: z.int(),
      offset: z.int(),
      outcome: z.enum(['replayed', 'refused']),
      reason: z.enum(REPLAY_REFUSALS).optional(),
      detail: z.string().optional(),
    }),
  ),
  nextCursor: z.string().nullable().describe('Pass it as `cursor` for older letters; null at the end.'),
});

const UNREADABLE = { 503: 'The event log does not answer in time.' };

export const DEAD_LETTER_ROUTES = {
  list: {
    method: 'GET',
    path: '/v1/dead-letters',
    summary: `Records that count nowhere, newest first, without their payloads; looks at ${MAX_SCANNED_LETTERS} for a page, so that one may have few or none although there are more`,
    scope: 'dead-letters:read',
    query: letterQuery,
    response: z.object({
      items: z.array(summary),
      nextCursor: z.string().nullable().describe('Pass it as `cursor` for the next page; null at the end.'),
    }),
    refusals: UNREADABLE,
  },
  get: {
    method: 'GET',
    path: '/v1/dead-letters/:partition/:offset',
    summary: 'One dead letter, with all that is kept of the record',
    scope: 'dead-letters:read',
    params: letterParams,
    response: letterAnswer,
    refusals: { 404: 'No such letter, or no longer.', ...UNREADABLE },
  },
  replay: {
    method: 'POST',
    path: '/v1/dead-letters/replay',
    summary: `Lets dead letters count after all, by their places or by a filter: records of executions.v1 go back there, others through their mapping. What is refused again is a new letter, at most ${MAX_REPLAYS} times`,
    scope: 'dead-letters:replay',
    body: replayBody,
    response: replayAnswer,
    refusals: {
      503: 'The event log does not answer in time; what was replayed counts once when it is asked for again.',
    },
  },
} as const satisfies Record<string, Route>;
export type LetterSummary = z.output<typeof summary>;
export type LetterAnswer = z.output<typeof letterAnswer>;
export type ReplayAnswer = z.output<typeof replayAnswer>;
export type ReplayBody = z.input<typeof replayBody>;
