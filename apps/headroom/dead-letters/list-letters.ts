import { DEAD_LETTER_ROUTES, type LetterSummary } from '../../ingest/index.js';
import { openApiSession, type ApiAnswer } from '../api-session.js';
import type { CommandContext } from '../commands/command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { filterOf, type ListOptions } from './letter-options.js';
import { printable } from './printable.js';

const PAGE_LETTERS = 100;

interface Page {
  items: LetterSummary[];
  nextCursor: string | null;
}

/** See `headroom dead-letters list --help`. */
export async function listLetters(options: ListOptions, context: CommandContext): Promise<ExitCode> {
  const filter = filterOf(options, Date.now());
  if (!filter.ok) return context.fail({ code: EXIT.usage, message: filter.problem });
  const opened = await openApiSession(options, ['dead-letters:read'], context);
  if (!opened.ok) return context.fail(opened);
  const letters: LetterSummary[] = [];
  let cursor: string | null = null;
  do {
    const limit = String(Math.min(PAGE_LETTERS, options.limit - letters.length));
    const query: URLSearchParams = new URLSearchParams({
      ...filter.value,
      limit,
      ...(cursor !== null && { cursor }),
    });
    const path: string = `${DEAD_LETTER_ROUTES.list.path}?${query}`;
    const page: ApiAnswer<Page> = await opened.session.call('GET', path);
    if (!page.ok) return context.fail(page);
    letters.push(...page.body.items);
    cursor = page.body.nextCursor;
  } while (cursor !== null && letters.length < options.limit);
  report({ letters, hasMore: cursor !== null }, options, context);
  return EXIT.ok;
}

function report(
  { letters, hasMore }: { letters: LetterSummary[]; hasMore: boolean },
  { json }: ListOptions,
  context: CommandContext,
): void {
  if (json) return context.print(JSON.stringify({ letters, hasMore }));
  for (const letter of letters) context.print(lineOf(letter));
  if (letters.length === 0) context.note('no dead letter matches');
  if (hasMore) context.note('there may be more, see --limit');
}

function lineOf({ partition, offset, at, reason, source, detail, replays }: LetterSummary): string {
  const again = replays === 0 ? '' : ` (replayed ${replays}×)`;
  const place = `${partition}/${offset}`.padEnd(8);
  return printable(`${place} ${at}  ${reason.padEnd(15)} ${source}${again}  ${detail}`);
}
