import {
  DEAD_LETTER_ROUTES,
  MAX_REPLAYED_LETTERS,
  type ReplayAnswer,
  type ReplayBody,
} from '../../ingest/index.js';
import { openApiSession, type ApiSession } from '../api-session.js';
import type { CommandContext, Failure, Outcome } from '../commands/command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { filterOf, placeOf, usage, type LetterFilter, type ReplayOptions } from './letter-options.js';
import { printable } from './printable.js';

/** Letters by their places, or the newest ones of a filter. */
type Chosen = { places: { partition: number; offset: number }[] } | { filter: LetterFilter; limit: number };

/** What became of letters so far. */
interface Done {
  letters: ReplayAnswer['letters'];
  /** Older letters of the filter may be there. */
  hasMore: boolean;
}

/** See `headroom dead-letters replay --help`. What was done before a failure is said as well. */
export async function replayLetters(
  places: string[],
  options: ReplayOptions,
  context: CommandContext,
): Promise<ExitCode> {
  const chosen = chosenBy(places, options);
  if (!chosen.ok) return context.fail(chosen);
  const access = { scope: 'dead-letters:replay', subject: 'dead-letters' } as const;
  const session = await openApiSession(options, access, context);
  if (!session.ok) return context.fail(session);
  const done: Done = { letters: [], hasMore: false };
  const failed = await replay(chosen.value, session.value, done);
  if (failed === undefined || done.letters.length > 0) report(done, options, context);
  if (failed !== undefined) return context.fail(failed);
  return done.letters.some(({ outcome }) => outcome === 'refused') ? EXIT.failed : EXIT.ok;
}

function chosenBy(texts: string[], options: ReplayOptions): Outcome<Chosen> {
  const filter = filterOf(options, Date.now());
  if (!filter.ok) return filter;
  const isFilter = Object.keys(filter.value).length > 0;
  const isPlaces = texts.length > 0;
  if (isFilter === isPlaces)
    return usage(`replay: must have places or a filter, got ${isFilter ? 'both' : 'neither'}`);
  if (isPlaces) return placesOf(texts);
  if (options.limit === undefined) return usage('--limit: must be given with a filter, got nothing');
  return { ok: true, value: { filter: filter.value, limit: options.limit } };
}

function placesOf(texts: string[]): Outcome<Chosen> {
  const places = [];
  for (const text of texts) {
    const place = placeOf(text);
    if (!place.ok) return place;
    places.push(place.value);
  }
  return { ok: true, value: { places } };
}

/** Request by request. Undefined, or why it went no further. */
function replay(chosen: Chosen, session: ApiSession, done: Done): Promise<Failure | undefined> {
  return 'places' in chosen ? replayAt(chosen, session, done) : replayMatching(chosen, session, done);
}

async function replayAt(
  { places }: Extract<Chosen, { places: unknown }>,
  session: ApiSession,
  done: Done,
): Promise<Failure | undefined> {
  for (let i = 0; i < places.length; i += MAX_REPLAYED_LETTERS) {
    const answer = await ask(session, { letters: places.slice(i, i + MAX_REPLAYED_LETTERS) });
    if (!answer.ok) return answer;
    done.letters.push(...answer.value.letters);
  }
  return undefined;
}

async function replayMatching(
  { filter, limit }: Extract<Chosen, { filter: unknown }>,
  session: ApiSession,
  done: Done,
): Promise<Failure | undefined> {
  let cursor: string | null = null;
  do {
    const left = Math.min(MAX_REPLAYED_LETTERS, limit - done.letters.length);
    const answer: Outcome<ReplayAnswer> = await ask(session, {
      filter,
      limit: left,
      ...(cursor !== null && { cursor }),
    });
    if (!answer.ok) return answer;
    done.letters.push(...answer.value.letters);
    cursor = answer.value.nextCursor;
  } while (cursor !== null && done.letters.length < limit);
  done.hasMore = cursor !== null;
  return undefined;
}

function ask(session: ApiSession, body: ReplayBody): Promise<Outcome<ReplayAnswer>> {
  const { method, path, response } = DEAD_LETTER_ROUTES.replay;
  return session.call({ method, path, body }, response);
}

function report({ letters, hasMore }: Done, { json }: ReplayOptions, context: CommandContext): void {
  const refused = letters.filter(({ outcome }) => outcome === 'refused');
  const counts = { replayed: letters.length - refused.length, refused: refused.length };
  if (json) return context.print(JSON.stringify({ ...counts, letters, hasMore }));
  for (const { partition, offset, reason, detail } of refused)
    context.print(printable(`${partition}/${offset}  ${reason}: ${detail}`));
  context.print(`${counts.replayed} replayed, ${counts.refused} refused`);
  if (hasMore) context.note('older letters may match as well: a larger --limit takes them');
}
