import { DEAD_LETTER_ROUTES, type LetterSummary } from '../../ingest/index.js';
import { openApiSession, type ApiSession } from '../api-session.js';
import type { CommandContext, Outcome } from '../commands/command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { filterOf, type LetterFilter, type ListOptions } from './letter-options.js';
import { printable } from './printable.js';

const PAGE_LETTERS = 100;

interface Listed {
  letters: LetterSummary[];
  hasMore: boolean;
}

/** See `headroom dead-letters list --help`. */
export async function listLetters(options: ListOptions, context: CommandContext): Promise<ExitCode> {
  const filter = filterOf(options, Date.now());
  if (!filter.ok) return context.fail(filter);
  const access = { scope: 'dead-letters:read', subject: 'dead-letters' } as const;
  const session = await openApiSession(options, access, context);
  if (!session.ok) return context.fail(session);
  const listed = await list(session.value, filter.value, options.limit);
  if (!listed.ok) return context.fail(listed);
  report(listed.value, options, context);
  return EXIT.ok;
}

async function list(session: ApiSession, filter: LetterFilter, limit: number): Promise<Outcome<Listed>> {
  const { method, path, response } = DEAD_LETTER_ROUTES.list;
  const letters: LetterSummary[] = [];
  let cursor: string | null = null;
  do {
    const pageLimit = String(Math.min(PAGE_LETTERS, limit - letters.length));
    const query: URLSearchParams = new URLSearchParams({
      ...filter,
      limit: pageLimit,
      ...(cursor !== null && { cursor }),
    });
    const page = await session.call({ method, path: `${path}?${query}` }, response);
    if (!page.ok) return page;
    letters.push(...page.value.items);
    cursor = page.value.nextCursor;
  } while (cursor !== null && letters.length < limit);
  return { ok: true, value: { letters, hasMore: cursor !== null } };
}

function report({ letters, hasMore }: Listed, { json }: ListOptions, context: CommandContext): void {
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
