import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import type { CommandContext, Environment } from './commands/command-context.js';
import { COMMANDS } from './commands/registry.js';
import { EXIT } from './exit-codes.js';

// The only file that reads process.env; everything else receives what it needs.
function readEnvironment(env: NodeJS.ProcessEnv): Environment {
  return {
    dataDir: env['HEADROOM_DATA_DIR'] || undefined,
    configFile: env['HEADROOM_CONFIG'] || undefined,
    token: env['HEADROOM_TOKEN'] || undefined,
    url: env['HEADROOM_URL'] || undefined,
    routerUrl: env['HEADROOM_ROUTER_URL'] || undefined,
  };
}

// dist/apps/headroom/ → the folder of package.json
const projectDir = join(import.meta.dirname, '..', '..', '..');

const { version } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as { version: string };

const context: CommandContext = {
  environment: readEnvironment(process.env),
  projectDir,
  version,
  print: (line) => void process.stdout.write(`${line}\n`),
  note: (line) => void process.stderr.write(`${line}\n`),
  progress: { write: (text) => void process.stderr.write(text), isTerminal: process.stderr.isTTY === true },
  fail: ({ code, message, hint }) => {
    const hintLine = hint === undefined ? '' : `  hint: ${hint}\n`;
    process.stderr.write(`headroom: ${message}\n${hintLine}`);
    return code;
  },
  finish: async (action) => {
    process.exitCode = await action();
  },
};

function buildProgram(): Command {
  const program = new Command('headroom')
    .description('Forecasts the load of worker pools and sets their workers before it arrives.')
    .version(version)
    .showSuggestionAfterError(true)
    .showHelpAfterError('(headroom --help shows the commands)')
    .exitOverride();
  for (const register of COMMANDS) register(program, context);
  return program;
}

async function main(): Promise<void> {
  // `headroom … | head` closes the pipe early; that is the reader's right and no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
  try {
    await buildProgram().parseAsync(process.argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  // Commander has written its message already; help and version end with 0, every usage error with 1 of its own.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  process.stderr.write(
    `headroom: unexpected error: ${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return EXIT.invalid;
}

await main();
