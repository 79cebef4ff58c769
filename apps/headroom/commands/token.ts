import type { CommandContext, RegisterCommand } from './command-context.js';
import { durationText, parseDurationS } from './duration.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { configFileOf, dataDirOf } from '../locations.js';

const DEFAULT_LIFETIME_S = 3600;

interface TokenOptions {
  scope: string[];
  for?: string;
  subject: string;
  config?: string;
  dataDir?: string;
  json?: true;
}

export const registerToken: RegisterCommand = (program, context) => {
  program
    .command('token')
    .description(
      'sign a short-lived token for the API with the key of the data directory, or identity.keyFile',
    )
    .requiredOption(
      '--scope <scope...>',
      'what the token may do, e.g. policies:read (several allowed; "all" = every scope)',
    )
    .option(
      '--for <duration>',
      'life of the token, e.g. 30m or 8h (default: 1h, or less when the limit is less)',
    )
    .option('--subject <name>', 'who will use it; the log names it with every change of a policy', 'cli')
    .option('--config <file>', 'configuration (else HEADROOM_CONFIG, then config/demo.yaml of the project)')
    .option('--data-dir <folder>', 'data directory (else HEADROOM_DATA_DIR, then .headroom of the project)')
    .option('--json', 'token, scopes and end of life as JSON')
    .action((options: TokenOptions) => context.finish(() => token(options, context)));
};

async function token(options: TokenOptions, context: CommandContext): Promise<ExitCode> {
  const [{ parseScopes }, { loadConfig }, { openSigner }, { formatProblem }] = await Promise.all([
    import('#adapters/identity'),
    import('../config-file.js'),
    import('../open-identity.js'),
    import('#adapters/input-problems'),
  ]);
  const scopes = parseScopes(options.scope.flatMap((scope) => scope.split(/[\s,]+/)));
  if (!scopes.ok) return context.fail({ code: EXIT.usage, message: scopes.problem });
  const loaded = await loadConfig(configFileOf({ option: options.config, ...context }));
  if (!loaded.ok) {
    for (const problem of loaded.problems) context.note(formatProblem(problem));
    return EXIT.usage;
  }
  const { tokenMaxS } = loaded.config.identity;
  const lifetimeS =
    options.for === undefined ? Math.min(DEFAULT_LIFETIME_S, tokenMaxS) : parseDurationS(options.for);
  if (lifetimeS === undefined || lifetimeS > tokenMaxS) {
    const message = `--for: must be a duration from 1s to ${durationText(tokenMaxS)} (identity.tokenMaxS), got ${options.for}`;
    return context.fail({ code: EXIT.usage, message, hint: 'write 90s, 30m or 8h' });
  }
  const dataDir = dataDirOf({ option: options.dataDir, configured: loaded.config.dataDir, ...context });
  const signer = await openSigner({ ...loaded.config, dataDir });
  if (!signer.ok) return context.fail(signer);
  const signed = await signer.value.signToken({
    scopes: scopes.scopes,
    lifetimeS,
    subject: options.subject,
  });
  context.print(
    options.json
      ? JSON.stringify({ ...signed, scopes: scopes.scopes, subject: options.subject })
      : signed.token,
  );
  return EXIT.ok;
}
