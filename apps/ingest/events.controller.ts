import type { IncomingHttpHeaders } from 'node:http';
import { Controller, Headers } from '@nestjs/common';
import { z } from 'zod';
import { Endpoint, FromBody, type Route } from '#adapters/http-api';
import { binaryEvent, executionEventV1, REFUSALS } from '#domain/events';
import { NOT_TAKEN_REFUSAL, notTakenProblem } from './event-append.js';
import { EventIntake, MAX_EVENTS_PER_REQUEST, type RefusedEvent } from './event-intake.js';

const answer = z.object({
  /** Durable: each will count once, however often it is sent. */
  accepted: z.number().int(),
  /** Will never count; sending them again does not help. */
  refused: z.array(z.object({ index: z.number().int(), reason: z.enum(REFUSALS), detail: z.string() })),
});

/** One event or several; what is wrong with one must not refuse the others, so they are checked one by one. */
const events = z
  .unknown()
  .transform((body): unknown[] => (Array.isArray(body) ? (body as unknown[]) : [body]))
  .pipe(z.array(z.unknown()).min(1).max(MAX_EVENTS_PER_REQUEST));

const postEvents = {
  method: 'POST',
  path: '/v1/events',
  summary: 'Takes execution events: CloudEvents, one in structured or binary mode, or a batch',
  scope: 'events:write',
  accepts: ['application/json', 'application/cloudevents+json', 'application/cloudevents-batch+json'],
  body: z.union([executionEventV1, z.array(executionEventV1).min(1).max(MAX_EVENTS_PER_REQUEST)]),
  requestHeaders: {
    'ce-specversion':
      'Binary mode, with application/json: the attributes of the event are headers (ce-id, ce-source, ce-type, ce-subject), the body is its data.',
  },
  status: 202,
  response: answer,
  refusals: NOT_TAKEN_REFUSAL,
} satisfies Route;

export const EVENT_ROUTES: Route[] = [postEvents];

@Controller()
export class EventsController {
  constructor(private readonly intake: EventIntake) {}

  @Endpoint(postEvents)
  // The intake checks the levels of each event: a deep one must not refuse its neighbours.
  async post(
    @FromBody(events, { maxLevels: Infinity }) body: unknown[],
    @Headers() headers: IncomingHttpHeaders,
  ): Promise<{ accepted: number; refused: RefusedEvent[] }> {
    const [first] = body;
    const binary = binaryEvent('http', headers, body.length === 1 ? first : body);
    const taken = await this.intake.take(binary === undefined ? body : [binary]);
    if (taken.outcome === 'taken') return { accepted: taken.accepted, refused: taken.refused };
    throw notTakenProblem(taken.outcome);
  }
}
