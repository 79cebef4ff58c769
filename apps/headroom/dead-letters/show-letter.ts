import { DEAD_LETTER_ROUTES, type LetterAnswer } from '../../ingest/index.js';
import { openApiSession } from '../api-session.js';
import type { CommandContext } from '../commands/command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { placeOf, type LetterOptions } from './letter-options.js';
import { printable } from './printable.js';

/** See `headroom dead-letters show --help`. */
export async function showLetter(
  text: string,
  options: LetterOptions,
  context: CommandContext,
): Promise<ExitCode> {
  const place = placeOf(text);
  if (!place.ok) return context.fail(place);
  const access = { scope: 'dead-letters:read', subject: 'dead-letters' } as const;
  const session = await openApiSession(options, access, context);
  if (!session.ok) return context.fail(session);
  const { method, path, response } = DEAD_LETTER_ROUTES.get;
  const { partition, offset } = place.value;
  const at = path.replace(':partition', String(partition)).replace(':offset', String(offset));
  const letter = await session.value.call({ method, path: at }, response);
  if (!letter.ok) return context.fail(letter);
  if (options.json) context.print(JSON.stringify(letter.value));
  else for (const line of linesOf(letter.value)) context.print(printable(line));
  return EXIT.ok;
}

/** What is known of it, and behind an empty line its payload. */
function linesOf(letter: LetterAnswer): string[] {
  const { partition, offset, at, source, reason, detail, mapping, key, replays, replayedFrom } = letter;
  const { state, bytes, sha256, text } = letter.payload;
  const elements = letter.elements && `${letter.elements.refused.join(', ')} of ${letter.elements.of}`;
  const known: [name: string, value: string | undefined][] = [
    ['letter', `${partition}/${offset}, ${at}`],
    ['source', source],
    ['mapping', mapping],
    ['reason', `${reason}: ${detail}`],
    ['elements', elements],
    ['replayed', replays === 0 ? undefined : `${replays}×, last from ${replayedFrom}`],
    ['key', key],
    ...Object.entries(letter.headers).map(([name, value]): [string, string] => [`header ${name}`, value]),
    ['payload', `${state}, ${bytes} bytes, sha256 ${sha256}`],
  ];
  const lines = known.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(9)} ${value}`]));
  return text === null ? lines : [...lines, '', ...text.split('\n')];
}
