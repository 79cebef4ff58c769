import { withApiOptions } from './api-options.js';
import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ExitCode } from '../exit-codes.js';
import type { BackupOptions } from '../backup/take-backup.js';

export const registerBackup: RegisterCommand = (program, context) => {
  withApiOptions(
    program
      .command('backup')
      .description(
        'write all that is stored, as it is at one moment, to a file; a program that runs goes on meanwhile',
      )
      .argument('<file>', 'file to write; must not exist'),
  ).action((file: string, options: BackupOptions) => context.finish(() => run(file, options, context)));
};

async function run(file: string, options: BackupOptions, context: CommandContext): Promise<ExitCode> {
  const { takeBackup } = await import('../backup/take-backup.js');
  return takeBackup({ file, options, context });
}
