import type { Command } from 'commander';

/** Options of a command that calls the API of a running program, here or elsewhere. */
export function withApiOptions(command: Command): Command {
  return command
    .option('--url <url>', 'API of a running program elsewhere, with the token in HEADROOM_TOKEN')
    .option('--config <file>', 'configuration (else HEADROOM_CONFIG, then config/demo.yaml of the project)')
    .option('--data-dir <folder>', 'data directory (else HEADROOM_DATA_DIR, then .headroom of the project)')
    .option('--json', 'result as JSON');
}
