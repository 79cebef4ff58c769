import type { CommandContext, RegisterCommand } from './command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';

export const registerConfig: RegisterCommand = (program, context) => {
  const config = program.command('config').description('configuration files');
  config
    .command('check')
    .description(
      'check a configuration file: exit code 2 and one line per problem, `where: rule, got actual`',
    )
    .argument('<file>', 'YAML file')
    .option('--json', 'result as JSON')
    .action((file: string, options: { json?: true }) => context.finish(() => check(file, options, context)));
};

async function check(file: string, options: { json?: true }, context: CommandContext): Promise<ExitCode> {
  const [{ loadConfig }, { formatProblem }] = await Promise.all([
    import('../config-file.js'),
    import('#adapters/input-problems'),
  ]);
  const loaded = await loadConfig(file);
  const problems = loaded.ok ? [] : loaded.problems;
  if (options.json) {
    context.print(JSON.stringify({ ok: loaded.ok, file, problems }));
  } else if (loaded.ok) {
    context.print(`${file}: ok, pools: ${Object.keys(loaded.config.pools).join(', ') || 'none'}`);
  } else {
    for (const problem of problems) context.note(formatProblem(problem));
  }
  return loaded.ok ? EXIT.ok : EXIT.usage;
}
