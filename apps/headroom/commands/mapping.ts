import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ExitCode } from '../exit-codes.js';
import type { TestMappingOptions } from '../mappings/test-mapping.js';

export const registerMapping: RegisterCommand = (program, context) => {
  program
    .command('mapping')
    .description('how records of other platforms become execution events')
    .command('test')
    .description(
      'say line by line what becomes of sample records, and why some are refused (then the exit code is 1)',
    )
    .argument('<file>', 'JSON lines or a JSON array; the key @ of a record is what its source knows about it')
    .option(
      '--mapping <name|path>',
      'a mapping of the configuration, a shipped one or a file (default: the only one of the configuration)',
    )
    .option('--config <file>', 'configuration (else HEADROOM_CONFIG, then config/demo.yaml of the project)')
    .option('--json', 'result as JSON')
    .action((file: string, options: TestMappingOptions) => context.finish(() => run(file, options, context)));
};

async function run(file: string, options: TestMappingOptions, context: CommandContext): Promise<ExitCode> {
  const { testMapping } = await import('../mappings/test-mapping.js');
  return testMapping(file, options, context);
}
