import type { Command } from 'commander';
import { withApiOptions } from './api-options.js';
import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ImportOptions } from '../history/import-history.js';
import type { PrometheusPastOptions } from '../history/prometheus-past.js';

export const registerImport: RegisterCommand = (program, context) => {
  const history = program
    .command('import')
    .description('bring in what a pool received before, so that its forecasts start warm');
  withOptions(
    history
      .command('csv')
      .description('from a file `timestamp,value`: what arrived in each step, plain or gzip')
      .argument('<file>', 'CSV file; an empty value is a step that is not known'),
  ).action((file: string, options: ImportOptions) => context.finish(() => fromCsv(file, options, context)));
  withOptions(
    history
      .command('prometheus')
      .description('from Prometheus: arrivals per second over time')
      .requiredOption('--prometheus <url>', 'address of Prometheus')
      .requiredOption('--query <promql>', 'arrivals per second, as one series')
      .option('--token-file <file>', 'file with a bearer token for Prometheus'),
  ).action((options: ImportOptions & PrometheusPastOptions) =>
    context.finish(() => fromPrometheus(options, context)),
  );
};

function withOptions(command: Command): Command {
  return withApiOptions(
    command
      .requiredOption('--pool <name>', 'pool whose past it is')
      .option(
        '--from <time>',
        'first bucket, date or date-time, UTC (default: all that is kept, or where it ended before)',
      )
      .option('--to <time>', 'end, exclusive (default: where other demand of the pool begins, or now)')
      .option(
        '--name <name>',
        'name of the history: what has one name is counted once (default: csv, prometheus)',
      ),
  );
}

async function fromCsv(file: string, options: ImportOptions, context: CommandContext) {
  const { importCsv } = await import('../history/import-history.js');
  return importCsv(file, options, context);
}

async function fromPrometheus(options: ImportOptions & PrometheusPastOptions, context: CommandContext) {
  const { importPrometheus } = await import('../history/import-history.js');
  return importPrometheus(options, context);
}
