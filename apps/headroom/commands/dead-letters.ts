import { InvalidArgumentError, type Command } from 'commander';
import { withApiOptions } from './api-options.js';
import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ExitCode } from '../exit-codes.js';
import type { LetterOptions, ListOptions, ReplayOptions } from '../dead-letters/letter-options.js';

/** Letters of one command. */
const MAX_LETTERS = 10_000;
const SHOWN_LETTERS = 50;

export const registerDeadLetters: RegisterCommand = (program, context) => {
  const letters = program
    .command('dead-letters')
    .description('records that count nowhere: why, and let them count after all');
  withApiOptions(filters(letters.command('list').description('one line for each, newest first')))
    .option('--limit <count>', 'at most so many letters', count, SHOWN_LETTERS)
    .action((given: ListOptions) => context.finish(() => list(given, context)));
  withApiOptions(
    letters
      .command('show')
      .description('all that is kept of one')
      .argument('<letter>', 'its place, as list shows it: 0/17'),
  ).action((place: string, given: LetterOptions) => context.finish(() => show(place, given, context)));
  withApiOptions(
    filters(
      letters
        .command('replay')
        .description(
          'give records that were refused back to ingest, once what was wrong is mended; exits with 1 when one is not',
        )
        .argument('[letters...]', 'their places, as list shows them: 0/17 0/18'),
    ),
  )
    .option('--limit <count>', 'instead of places, with a filter: at most so many, the newest', count)
    .action((places: string[], given: ReplayOptions) => context.finish(() => replay(places, given, context)));
};

function filters(command: Command): Command {
  return command
    .option('--reason <reason>', 'those with this reason, e.g. too_many_pools')
    .option('--source <source>', 'those from there: a topic, "POST /v1/events", "redis jobs"')
    .option('--from <time>', 'written then or later: date or date-time, UTC, or how long ago, e.g. 2h')
    .option('--to <time>', 'written before');
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= MAX_LETTERS) return value;
  throw new InvalidArgumentError(`must be an integer from 1 to ${MAX_LETTERS}.`);
}

async function list(given: ListOptions, context: CommandContext): Promise<ExitCode> {
  const { listLetters } = await import('../dead-letters/list-letters.js');
  return listLetters(given, context);
}

async function show(place: string, given: LetterOptions, context: CommandContext): Promise<ExitCode> {
  const { showLetter } = await import('../dead-letters/show-letter.js');
  return showLetter(place, given, context);
}

async function replay(places: string[], given: ReplayOptions, context: CommandContext): Promise<ExitCode> {
  const { replayLetters } = await import('../dead-letters/replay-letters.js');
  return replayLetters(places, given, context);
}
