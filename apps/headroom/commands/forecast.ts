import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ExitCode } from '../exit-codes.js';
import type { ForecastTraceOptions } from '../forecast/forecast-trace.js';

export const registerForecast: RegisterCommand = (program, context) => {
  program
    .command('forecast')
    .description(
      'forecast a recorded trace as the service would have: at each bucket, from what was known then',
    )
    .argument(
      '<trace>',
      'CSV file `timestamp,value`, plain or gzip; an empty value is a bucket that is not known',
    )
    .requiredOption(
      '--horizons <list>',
      'how far ahead, with commas: 5m,10m,30m; in buckets of the trace: 1b,3b,6b',
    )
    .requiredOption('--jsonl <file>', 'where the forecasts go, one line per origin and horizon')
    .option(
      '--from <share|time>',
      'first bucket to be forecast: a share of the trace such as 0.67, or a date-time; what lies before is learned',
      '0',
    )
    .option('--seasons <list>', 'lengths of the seasons: 1d,1w; or none', '1d,1w')
    .action((trace: string, options: ForecastTraceOptions) =>
      context.finish(() => run(trace, options, context)),
    );
};

async function run(trace: string, options: ForecastTraceOptions, context: CommandContext): Promise<ExitCode> {
  const { forecastTrace } = await import('../forecast/forecast-trace.js');
  return forecastTrace(trace, options, context);
}
