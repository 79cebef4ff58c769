import { InvalidArgumentError } from 'commander';
import type { CommandContext, RegisterCommand } from './command-context.js';
import type { ExitCode } from '../exit-codes.js';
import type { ReplayOptions } from '../replay/replay-options.js';

export const registerReplay: RegisterCommand = (program, context) => {
  program
    .command('replay')
    .description(
      'send a recorded arrival series as real requests to the router of a running instance; ' +
        'Ctrl-C prints the summary so far and exits with 130',
    )
    .argument('<trace>', 'CSV file `timestamp,value`, plain or gzip; an empty value is a missing bucket')
    .requiredOption('--pool <name>', 'pool that receives the requests')
    .option('--from <time>', 'first bucket, date or date-time, UTC (default: start of the trace)')
    .option('--to <time>', 'end, exclusive: 1998-06-11 leaves that day out (default: end of the trace)')
    .option('--speed <factor>', 'how many times faster than recorded', positive, 1)
    .option('--peak-rps <rate>', 'requests per second at the peak of the chosen window', positive, 100)
    .option('--seed <number>', 'the same seed sends the same requests', seed, 1)
    .option('--url <url>', 'router (else HEADROOM_ROUTER_URL, then http://127.0.0.1:8081)')
    .option('--objective-ms <ms>', 'a slower answer counts as over the objective', positive, 50)
    .option('--json', 'summary as JSON')
    .action((trace: string, options: ReplayOptions) => context.finish(() => run(trace, options, context)));
};

async function run(trace: string, options: ReplayOptions, context: CommandContext): Promise<ExitCode> {
  const { replay } = await import('../replay/replay.js');
  return replay({ file: trace, options, context });
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1e6)) throw new InvalidArgumentError('must be a number > 0 and < 1000000.');
  return value;
}

function seed(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('must be an integer ≥ 0.');
  return value;
}
