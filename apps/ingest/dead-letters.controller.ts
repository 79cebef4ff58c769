import { Controller } from '@nestjs/common';
import type { z } from 'zod';
import {
  CallerOf,
  Endpoint,
  FromBody,
  FromParams,
  FromQuery,
  problem,
  type Caller,
} from '#adapters/http-api';
import { DeadLetterReplay, type Replayed } from './dead-letter-replay.js';
import {
  DEAD_LETTER_ROUTES as ROUTES,
  letterParams,
  letterQuery,
  replayBody,
  type LetterAnswer,
  type LetterConditions,
  type LetterSummary,
  type ReplayAnswer,
} from './dead-letter-routes.js';
import { DeadLetterTopic, placeOf, type LetterPlace } from './dead-letter-topic.js';
import type { StoredLetter } from './dead-letter.js';
import { IngestObserver } from './ingest-observer.js';

const RETRY_AFTER_S = 10;

@Controller()
export class DeadLettersController {
  constructor(
    private readonly topic: DeadLetterTopic,
    private readonly replays: DeadLetterReplay,
    private readonly observer: IngestObserver,
  ) {}

  @Endpoint(ROUTES.list)
  async list(@FromQuery(letterQuery) { limit, cursor, ...wanted }: z.output<typeof letterQuery>) {
    const { letters, next } = await this.answered(
      this.topic.page({ filter: filterOf(wanted), limit, before: placeIn(cursor) }),
    );
    this.observer.lettersRead('listed', letters.length);
    return { items: letters.map(summaryOf), nextCursor: cursorOf(next) };
  }

  @Endpoint(ROUTES.get)
  async get(@FromParams(letterParams) place: z.output<typeof letterParams>): Promise<LetterAnswer> {
    const letter = await this.answered(this.topic.at(place));
    if (letter === undefined) throw unknownLetter(place);
    this.observer.lettersRead('shown', 1);
    return answerOf(letter);
  }

  @Endpoint(ROUTES.replay)
  async replay(
    @FromBody(replayBody) body: z.output<typeof replayBody>,
    @CallerOf() { subject }: Caller,
  ): Promise<ReplayAnswer> {
    const { outcomes, next } = await this.answered(this.replayOf(body));
    const counts = Map.groupBy(outcomes, (one) => (one.outcome === 'refused' ? one.reason : 'replayed'));
    for (const [outcome, letters] of counts)
      this.observer.lettersReplayed({ outcome, letters: letters.length, subject });
    const replayed = counts.get('replayed')?.length ?? 0;
    const refused = outcomes.length - replayed;
    return { replayed, refused, letters: outcomes, nextCursor: cursorOf(next) };
  }

  private replayOf(body: z.output<typeof replayBody>): Promise<Replayed> {
    if ('letters' in body) return this.replays.replayAt(body.letters);
    const { filter, limit, cursor } = body;
    return this.replays.replayMatching({ filter: filterOf(filter), limit, before: placeIn(cursor) });
  }

  private async answered<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      this.observer.lettersUnreadable(error as Error);
      throw problem(503, {
        name: 'log-unavailable',
        detail: 'event log: must answer in time, did not',
        hint: '/readyz says what is missing',
        headers: { 'retry-after': String(RETRY_AFTER_S) },
      });
    }
  }
}

function filterOf({ reason, source, from, to }: LetterConditions) {
  const msOf = (text: string | undefined) => (text === undefined ? undefined : Date.parse(text));
  return { reason, source, fromMs: msOf(from), toMs: msOf(to) };
}

function placeIn(cursor: string | undefined): LetterPlace | undefined {
  if (cursor === undefined) return undefined;
  const [partition, offset] = cursor.split('-').map(Number) as [number, number];
  return { partition, offset };
}

function cursorOf(place: LetterPlace | undefined): string | null {
  return place === undefined ? null : `${place.partition}-${place.offset}`;
}

function summaryOf(letter: StoredLetter): LetterSummary {
  const { atMs, reason, detail, source, mapping, key, replays } = letter;
  const { state, bytes, sha256 } = letter.payload;
  const at = new Date(atMs).toISOString();
  return {
    ...placeOf(letter),
    at,
    reason,
    detail,
    source,
    mapping,
    key,
    replays,
    payload: { state, bytes, sha256 },
  };
}

function answerOf(letter: StoredLetter): LetterAnswer {
  const { headers, about, elements, replayedFrom, payload: whole } = letter;
  return { ...summaryOf(letter), headers, about, elements, replayedFrom, payload: whole };
}

function unknownLetter({ partition, offset }: LetterPlace) {
  return problem(404, {
    name: 'unknown-dead-letter',
    detail: `dead letter ${partition}/${offset}: must be there, got none`,
    hint: 'GET /v1/dead-letters lists them; each is kept for a week',
  });
}
