import { Controller } from '@nestjs/common';
import { z } from 'zod';
import { Endpoint, FromBody, FromParams, problem, type Route } from '#adapters/http-api';
import { REFUSALS } from '#domain/events';
import { MAPPING_REFUSALS, type Mapped } from '#domain/mapping';
import { NOT_TAKEN_REFUSAL, notTakenProblem } from './event-append.js';
import { MAX_RECORDS_PER_REQUEST, WebhookIntake } from './webhook-intake.js';

const params = z.strictObject({ mapping: z.string().min(1).max(63).describe('Name of a mapping.') });

/** What became of a record, or of one of its elements. */
const outcome = z.object({
  /** Place of the record in the request, from 0. */
  index: z.int(),
  /** Place of the element in the record, from 0; absent when the record is one. */
  element: z.int().optional(),
  outcome: z.enum(['accepted', 'ignored', 'refused']),
  /** Why it is ignored. */
  why: z.string().optional(),
  /** Why it is refused: sending it again does not help. */
  reason: z.enum([...MAPPING_REFUSALS, ...REFUSALS]).optional(),
  detail: z.string().optional(),
});
const answer = z.object({
  /** Events that are durable: each will count once, however often its record is sent. */
  accepted: z.int(),
  ignored: z.int(),
  refused: z.int(),
  records: z.array(outcome),
});
type Answer = z.output<typeof answer>;

const records = z
  .unknown()
  .transform((body): unknown[] => (Array.isArray(body) ? (body as unknown[]) : [body]))
  .pipe(z.array(z.unknown()).min(1).max(MAX_RECORDS_PER_REQUEST));

const record = z.record(z.string(), z.unknown());

const postWebhook = {
  method: 'POST',
  path: '/v1/webhooks/:mapping',
  summary: 'Takes records of another platform, one or an array, as execution events',
  scope: 'events:write',
  proof:
    'The HMAC-SHA256 of the body, or the secret itself, in the header that `webhooks` of the configuration names.',
  params,
  body: z.union([record, z.array(record).min(1).max(MAX_RECORDS_PER_REQUEST)]),
  status: 202,
  response: answer,
  refusals: { 404: 'No such mapping.', ...NOT_TAKEN_REFUSAL },
} satisfies Route;

export const WEBHOOK_ROUTES: Route[] = [postWebhook];

@Controller()
export class WebhooksController {
  constructor(private readonly intake: WebhookIntake) {}

  @Endpoint(postWebhook)
  // Paths look no deeper than they are long: a deep record must not refuse its neighbours.
  async post(
    @FromParams(params) { mapping }: z.output<typeof params>,
    @FromBody(records, { maxLevels: Infinity }) body: unknown[],
  ): Promise<Answer> {
    const taken = await this.intake.take(mapping, body);
    switch (taken.outcome) {
      case 'taken':
        return answerOf(taken.mapped);
      case 'unknown_mapping':
        throw problem(404, {
          name: 'unknown-mapping',
          detail: `mapping: must be known, got ${mapping}`,
          hint: 'name it in `mappings` of the configuration',
        });
      case 'too_many_events': {
        const detail = `body: must have at most ${MAX_RECORDS_PER_REQUEST} elements in its records, got more`;
        throw problem(422, { name: 'invalid-input', detail });
      }
      default:
        throw notTakenProblem(taken.outcome);
    }
  }
}

function answerOf(mapped: Mapped[][]): Answer {
  const outcomes = mapped.flatMap((own, index) =>
    own.map((one, element) => ({ index, ...(own.length > 1 && { element }), ...wordsOf(one) })),
  );
  const count = (wanted: Answer['records'][number]['outcome']) =>
    outcomes.filter((one) => one.outcome === wanted).length;
  return {
    accepted: count('accepted'),
    ignored: count('ignored'),
    refused: count('refused'),
    records: outcomes,
  };
}

function wordsOf(mapped: Mapped): Omit<Answer['records'][number], 'index' | 'element'> {
  return mapped.outcome === 'mapped' ? { outcome: 'accepted' } : mapped;
}
