import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ExitCode } from '../exit-codes.js';

interface StartOptions {
  target: string;
  config?: string;
  dataDir?: string;
}

export const registerStart: RegisterCommand = (program, context) => {
  program
    .command('start')
    .description('run Headroom until Ctrl-C or SIGTERM')
    .option(
      '--target <names>',
      'all, or some of ingest, forecaster, fleet, autoscaler, router, sources',
      'all',
    )
    .option('--config <file>', 'configuration (else HEADROOM_CONFIG, then config/demo.yaml of the project)')
    .option('--data-dir <folder>', 'data directory (else HEADROOM_DATA_DIR, then .headroom of the project)')
    .action((options: StartOptions) => context.finish(() => start(options, context)));
};

async function start(options: StartOptions, context: CommandContext): Promise<ExitCode> {
  const { runProgram } = await import('../run-program.js');
  return runProgram(options, context);
}
