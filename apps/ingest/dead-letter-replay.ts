import { TOPICS, type EventLog, type NewRecord } from '#adapters/event-log';
import type { Mapped, Mapping } from '#domain/mapping';
import { placeOf, type DeadLetterTopic, type LetterFilter, type LetterPlace } from './dead-letter-topic.js';
import {
  replayedHeaders,
  replayMarks,
  type PayloadKeeping,
  type ReplayRefusal,
  type StoredLetter,
} from './dead-letter.js';
import { appendReceived, type NotTaken } from './event-append.js';
import type { IngestObserver } from './ingest-observer.js';
import { deadLetterOf, eventsIn, mapReceived, reportMapped } from './record-mapping.js';

/** Letters of one request. */
export const MAX_REPLAYED_LETTERS = 200;
/** A record that was refused after as many replays is not replayed again: what is wrong with it is not what was mended. */
export const MAX_REPLAYS = 3;
/** Letters that are read and written at the same time, so that one request does not fill the memory. */
const AT_ONCE = 20;

export type ReplayOutcome = LetterPlace &
  ({ outcome: 'replayed' } | { outcome: 'refused'; reason: ReplayRefusal; detail: string });

export interface Replayed {
  outcomes: ReplayOutcome[];
  /** Older letters of the filter may lie before; undefined at the end. */
  next: LetterPlace | undefined;
}

interface NotReplayed {
  reason: ReplayRefusal;
  /** `what: rule, got actual` */
  detail: string;
}

/** What is written in place of a letter. */
interface Replay {
  accepted: NewRecord[];
  /** What is refused again while the rest of the record counts. */
  deadLetters: NewRecord[];
  /** What its mapping made of it; absent: it had none. */
  mapped?: { outcomes: Mapped[]; mapping: Mapping | undefined };
}

interface Judged {
  mappings: ReadonlyMap<string, Mapping>;
  keeping: PayloadKeeping;
}

/**
 * Dead letters → `executions.v1`. A letter stays where it is: replayed twice within the dedupe window its events count
 * once, as if their sender had sent them twice.
 */
export class DeadLetterReplay {
  constructor(
    private readonly given: Judged & {
      log: EventLog;
      topic: DeadLetterTopic;
      observer: Pick<IngestObserver, 'appendFailed' | 'recordsMapped'>;
    },
  ) {}

  /** The letters of places, at most {@link MAX_REPLAYED_LETTERS}, oldest first. Rejects when they cannot be read. */
  async replayAt(places: readonly LetterPlace[]): Promise<Replayed> {
    const outcomes = await this.inParts(inOrder(places), async (place) => {
      return { place, letter: await this.given.topic.at(place) };
    });
    return { outcomes, next: undefined };
  }

  /** The newest letters of a filter, before a place, as many as said. Rejects when they cannot be read. */
  async replayMatching(wanted: {
    filter: LetterFilter;
    limit: number;
    before: LetterPlace | undefined;
  }): Promise<Replayed> {
    const { letters, next } = await this.given.topic.page(wanted);
    const outcomes = await this.inParts(letters.toReversed(), async (letter) => {
      return { place: placeOf(letter), letter };
    });
    return { outcomes, next };
  }

  /** Some at a time. Once the log takes no more, the others are not tried. */
  private async inParts<T>(
    all: readonly T[],
    find: (one: T) => Promise<{ place: LetterPlace; letter: StoredLetter | undefined }>,
  ): Promise<ReplayOutcome[]> {
    const outcomes: ReplayOutcome[] = [];
    for (let i = 0; i < all.length; i += AT_ONCE) {
      const found = await Promise.all(all.slice(i, i + AT_ONCE).map(find));
      const failed = outcomes.map(notTakenIn).find((reason) => reason !== undefined);
      outcomes.push(
        ...(await Promise.all(
          found.map(({ place, letter }) =>
            failed === undefined ? this.replay(place, letter) : refusal(place, notTaken(failed)),
          ),
        )),
      );
    }
    return outcomes;
  }

  private async replay(place: LetterPlace, letter: StoredLetter | undefined): Promise<ReplayOutcome> {
    const { log, observer } = this.given;
    const replay = letter === undefined ? noLetter(place) : replayOf(letter, this.given);
    if ('reason' in replay) return refusal(place, replay);
    const failure = await appendReceived(log, replay, (error) => observer.appendFailed(error));
    if (failure !== undefined) return refusal(place, notTaken(failure));
    if (replay.mapped !== undefined) reportMapped(replay.mapped.outcomes, replay.mapped.mapping, observer);
    return { ...place, outcome: 'replayed' };
  }
}

/** Each once; those of a partition in their order. */
function inOrder(places: readonly LetterPlace[]): LetterPlace[] {
  const distinct = new Map(places.map((place) => [`${place.partition}/${place.offset}`, placeOf(place)]));
  return [...distinct.values()].toSorted((a, b) => a.partition - b.partition || a.offset - b.offset);
}

function refusal(place: LetterPlace, refused: NotReplayed): ReplayOutcome {
  return { ...place, outcome: 'refused', ...refused };
}

function noLetter({ partition, offset }: LetterPlace): NotReplayed {
  return { reason: 'no_letter', detail: `letter ${partition}/${offset}: must be there, got none` };
}

function notTaken(reason: NotTaken): NotReplayed {
  return { reason, detail: 'event log: must take the letter, did not; replay it again' };
}

function notTakenIn(outcome: ReplayOutcome): NotTaken | undefined {
  if (outcome.outcome === 'replayed') return undefined;
  return outcome.reason === 'overloaded' || outcome.reason === 'unavailable' ? outcome.reason : undefined;
}

/**
 * What is written so that a letter counts after all, or why nothing is. A record of `executions.v1` goes back there as it
 * came, and ingest judges it anew. One of another platform goes through its mapping again, and not to where it came from:
 * others read there, too, and what of it counts already must not come a second time.
 */
export function replayOf(letter: StoredLetter, judged: Judged): Replay | NotReplayed {
  const { payload, replays, about, key } = letter;
  const { state, bytes, sha256 } = payload;
  if (state === 'redacted') {
    const detail = `payload: must be kept (deadLetters.payload), is redacted; ask its sender for ${bytes} bytes of SHA-256 ${sha256}`;
    return { reason: state, detail };
  }
  if (state === 'cut')
    return {
      reason: state,
      detail: `record: must be kept whole, got a part; its payload had ${bytes} bytes`,
    };
  if (replays >= MAX_REPLAYS) {
    const detail = `record: must have been replayed less than ${MAX_REPLAYS} times, was ${replays} times`;
    return { reason: 'too_many_replays', detail };
  }
  if (about['topic'] !== TOPICS.executions) return mappedAgain(letter, judged);
  const headers = replayedHeaders(letter);
  // Where its execution's other events are, whichever way its sender chose partitions.
  const { partition } = about;
  const at = typeof partition === 'number' ? { partition } : {};
  return { accepted: [{ key, value: payload.text, headers, ...at }], deadLetters: [] };
}

/** In place of an element that was not refused before. */
const COUNTED: Mapped = { outcome: 'ignored', why: 'it counted before' };

function mappedAgain(letter: StoredLetter, { mappings, keeping }: Judged): Replay | NotReplayed {
  const { mapping: name, payload, about, source: place, elements } = letter;
  const mapping = name === undefined ? undefined : mappings.get(name);
  if (name !== undefined && mapping === undefined)
    return { reason: 'unknown_mapping', detail: `mapping: must be known, got ${name}` };
  const received = { text: payload.text ?? '', about: { ...about, headers: replayedHeaders(letter) }, place };
  const all = mapReceived(received, mapping);
  if (elements !== undefined && all.length !== elements.of) {
    const detail = `elements of the record: must be ${elements.of} as before, got ${all.length}`;
    return { reason: 'mapping_changed', detail };
  }
  const outcomes = all.map((one, i) => (elements?.refused.includes(i) === false ? COUNTED : one));
  const accepted = eventsIn(outcomes).map((event) => ({ ...event, headers: replayMarks(letter) }));
  const first = outcomes.find((one) => one.outcome === 'refused');
  if (accepted.length === 0 && first !== undefined)
    return { reason: 'still_refused', detail: `${first.reason}: ${first.detail}` };
  const deadLetters = deadLetterOf(outcomes, received, { mapping, keeping });
  return { accepted, deadLetters, mapped: { outcomes: outcomes.filter((one) => one !== COUNTED), mapping } };
}
