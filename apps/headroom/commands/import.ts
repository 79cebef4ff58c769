import type { Command } from 'commander';
import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ImportOptions } from '../history/import-history.js';
import type { PrometheusPastOptions } from '../history/prometheus-past.js';

export const registerImport: RegisterCommand = (program, context) => {
  const history = program
    .command('import')
    .description('bring in what a pool received before, so that its forecasts start warm');
  options(
    history
      .command('csv')
      .description('from a file `timestamp,value`: what arrived in each step, plain or gzip')
      .argument('<file>', 'CSV file; an empty value is a step that is not known'),
  ).action((file: string, given: ImportOptions) => context.finish(() => fromCsv(file, given, context)));
  options(
    history
      .command('prometheus')
      .description('from Prometheus: arrivals per second over time')
      .requiredOption('--prometheus <url>', 'address of Prometheus')
      .requiredOption('--query <promql>', 'arrivals per second, as one series')
      .option('--token-file <file>', 'file with a bearer token for Prometheus'),
  ).action((given: ImportOptions & PrometheusPastOptions) =>
    context.finish(() => fromPrometheus(given, context)),
  );
};

function options(command: Command): Command {
  return command
    .requiredOption('--pool <name>', 'pool whose past it is')
    .option(
      '--from <time>',
      'first bucket, date or date-time, UTC (default: where it begins, or where it ended before)',
    )
    .option('--to <time>', 'end, exclusive (default: where other demand of the pool begins, or now)')
    .option(
      '--name <name>',
      'name of the history: what has one name is counted once (default: csv, prometheus)',
    )
    .option('--url <url>', 'API of a running program elsewhere, with the token in HEADROOM_TOKEN')
    .option('--config <file>', 'configuration (else HEADROOM_CONFIG, then config/demo.yaml of the project)')
    .option('--data-dir <folder>', 'data directory (else HEADROOM_DATA_DIR, then .headroom of the project)')
    .option('--json', 'result as JSON');
}

async function fromCsv(file: string, given: ImportOptions, context: CommandContext) {
  const { importCsv } = await import('../history/import-history.js');
  return importCsv(file, given, context);
}

async function fromPrometheus(given: ImportOptions & PrometheusPastOptions, context: CommandContext) {
  const { importPrometheus } = await import('../history/import-history.js');
  return importPrometheus(given, context);
}
