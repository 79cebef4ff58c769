import { registerBackup } from './backup.js';
import type { RegisterCommand } from './command-context.js';
import { registerConfig } from './config-check.js';
import { registerDeadLetters } from './dead-letters.js';
import { registerForecast } from './forecast.js';
import { registerImport } from './import.js';
import { registerKey } from './key.js';
import { registerMapping } from './mapping.js';
import { registerReplay } from './replay.js';
import { registerRestore } from './restore.js';
import { registerStart } from './start.js';
import { registerToken } from './token.js';

/** Every command of the program, in the order of `headroom --help`. */
export const COMMANDS: readonly RegisterCommand[] = [
  registerStart,
  registerConfig,
  registerToken,
  registerKey,
  registerMapping,
  registerDeadLetters,
  registerImport,
  registerForecast,
  registerReplay,
  registerBackup,
  registerRestore,
];
