import type { CommandContext, RegisterCommand } from './command-context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { configFileOf, dataDirOf } from '../locations.js';

interface KeyOptions {
  config?: string;
  dataDir?: string;
}

export const registerKey: RegisterCommand = (program, context) => {
  program
    .command('key')
    .description('print the public half of the key, with which others can check tokens (identity.keyFile)')
    .option('--config <file>', 'configuration (else HEADROOM_CONFIG, then config/demo.yaml of the project)')
    .option('--data-dir <folder>', 'data directory (else HEADROOM_DATA_DIR, then .headroom of the project)')
    .action((options: KeyOptions) => context.finish(() => key(options, context)));
};

async function key(options: KeyOptions, context: CommandContext): Promise<ExitCode> {
  const [{ KEY_FILE, publicHalf }, { loadConfig }, { formatProblem }, { join }] = await Promise.all([
    import('#adapters/identity'),
    import('../config-file.js'),
    import('#adapters/input-problems'),
    import('node:path'),
  ]);
  const loaded = await loadConfig(configFileOf({ option: options.config, ...context }));
  if (!loaded.ok) {
    for (const problem of loaded.problems) context.note(formatProblem(problem));
    return EXIT.usage;
  }
  const { dataDir: configured, identity } = loaded.config;
  const dataDir = dataDirOf({ option: options.dataDir, configured, ...context });
  const half = await publicHalf(identity.keyFile ?? join(dataDir, KEY_FILE));
  if (!half.ok) {
    const code = half.reason === 'not-readable' ? EXIT.notAllowed : EXIT.usage;
    return context.fail({ code, message: half.problem, hint: half.hint });
  }
  context.print(JSON.stringify(half.publicJwk));
  return EXIT.ok;
}
