import { Controller } from '@nestjs/common';
import { z } from 'zod';
import { Endpoint, FromBody, problem, type Route } from '#adapters/http-api';
import { executionEventV1, REFUSALS } from '#domain/events';
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
  summary: 'Takes execution events, one or a batch',
  scope: 'events:write',
  accepts: ['application/json', 'application/cloudevents+json', 'application/cloudevents-batch+json'],
  body: z.union([executionEventV1, z.array(executionEventV1).min(1).max(MAX_EVENTS_PER_REQUEST)]),
  status: 202,
  response: answer,
  refusals: { 503: 'Cannot be written now; send the same events again after Retry-After.' },
} satisfies Route;

export const EVENT_ROUTES: Route[] = [postEvents];

const UNAVAILABLE = {
  overloaded: { detail: 'event log: must have room, got more than it can write', retryAfterS: 1 },
  unavailable: { detail: 'event log: must be writable, got an error (e.g. a full disk)', retryAfterS: 10 },
};

@Controller()
export class EventsController {
  constructor(private readonly intake: EventIntake) {}

  @Endpoint(postEvents)
  // The intake checks the levels of each event: a deep one must not refuse its neighbours.
  async post(
    @FromBody(events, { maxLevels: Infinity }) body: unknown[],
  ): Promise<{ accepted: number; refused: RefusedEvent[] }> {
    const taken = await this.intake.take(body);
    if (taken.outcome === 'taken') return { accepted: taken.accepted, refused: taken.refused };
    const { detail, retryAfterS } = UNAVAILABLE[taken.outcome];
    throw problem(503, {
      name: `log-${taken.outcome}`,
      detail,
      hint: 'send the same events again: each counts once',
      headers: { 'retry-after': String(retryAfterS) },
    });
  }
}
