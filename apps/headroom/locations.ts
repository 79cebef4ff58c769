import { join, resolve } from 'node:path';
import type { Environment } from './commands/command-context.js';

/**
 * Where the store, the log and the key are, the strongest first: the option, HEADROOM_DATA_DIR, `dataDir` of the
 * configuration, `.headroom` of the project (git-ignored). The project and not the working directory: a command
 * typed in another folder must find the key of the running program.
 */
export function dataDirOf(given: {
  option?: string | undefined;
  environment: Pick<Environment, 'dataDir'>;
  configured?: string | undefined;
  projectDir: string;
}): string {
  const chosen = given.option ?? given.environment.dataDir ?? given.configured;
  return chosen === undefined ? join(given.projectDir, '.headroom') : resolve(chosen);
}

/** The configuration file: the option, HEADROOM_CONFIG, config/demo.yaml of the project. */
export function configFileOf(given: {
  option?: string | undefined;
  environment: Pick<Environment, 'configFile'>;
  projectDir: string;
}): string {
  const chosen = given.option ?? given.environment.configFile;
  return chosen === undefined ? join(given.projectDir, 'config', 'demo.yaml') : resolve(chosen);
}
