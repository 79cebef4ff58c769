import type { Config } from './config.js';
import { configFileOf, dataDirOf } from './locations.js';

/** A working day, when the configuration allows it. */
const OFFERED_S = 8 * 3600;

/** The command that signs a token for this instance, for a shell in which nothing is set. */
export function tokenCommand(running: {
  config: Config;
  file: string;
  dataDir: string;
  projectDir: string;
}): string {
  const { config, file, dataDir, projectDir } = running;
  const nothingSet = { configFile: undefined, dataDir: undefined };
  const given = { environment: nothingSet, projectDir };
  const { tokenMaxS } = config.identity;
  return [
    'npx headroom token --scope all',
    `--for ${tokenMaxS >= OFFERED_S ? '8h' : `${tokenMaxS}s`}`,
    ...(file === configFileOf(given) ? [] : [`--config ${quoted(file)}`]),
    ...(dataDir === dataDirOf({ ...given, configured: config.dataDir })
      ? []
      : [`--data-dir ${quoted(dataDir)}`]),
  ].join(' ');
}

/** For a POSIX shell. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
