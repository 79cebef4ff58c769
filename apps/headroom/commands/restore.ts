import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ExitCode } from '../exit-codes.js';
import type { RestoreCommandOptions } from '../backup/restore.js';

export const registerRestore: RegisterCommand = (program, context) => {
  program
    .command('restore')
    .description('fill an empty store from a backup, all of it or nothing; no program may use the store')
    .argument('<file>', 'file of `headroom backup`')
    .option(
      '--new-log',
      'the event log is not the one of the backup: keep the history, begin at the start of the log',
    )
    .option('--config <file>', 'configuration (else HEADROOM_CONFIG, then config/demo.yaml of the project)')
    .option('--data-dir <folder>', 'data directory (else HEADROOM_DATA_DIR, then .headroom of the project)')
    .option('--json', 'result as JSON')
    .action((file: string, options: RestoreCommandOptions) =>
      context.finish(() => run(file, options, context)),
    );
};

async function run(file: string, options: RestoreCommandOptions, context: CommandContext): Promise<ExitCode> {
  const { restore } = await import('../backup/restore.js');
  return restore({ file, options, context });
}
