import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { EmbeddedEventLog, LOG_TABLE_NAMES } from '#adapters/event-log';
import { formatProblem } from '#adapters/input-problems';
import {
  BackupRefused,
  DataDirectoryFull,
  DataDirectoryInUse,
  openEmbeddedStore,
  restoreBackup,
  StoreUnavailable,
  tablesInUse,
  type PartitionOptions,
  type Retention,
  type Store,
} from '#adapters/store';
import type { CommandContext } from '../commands/command-context.js';
import { loadConfig } from '../config-file.js';
import type { Config } from '../config.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { configFileOf, dataDirOf } from '../locations.js';
import { storeExitCode } from '../store-exit-code.js';
import { retentionsOf } from '../store-retention.js';
import { checkBackup, partsOf, totalOf, type CheckedBackup } from './checked-backup.js';

export interface RestoreCommandOptions {
  newLog?: true;
  config?: string;
  dataDir?: string;
  json?: true;
}

/** A restore is one transaction. */
const RESTORE_WITHIN_MS = 86_400_000;

interface Given {
  file: string;
  options: RestoreCommandOptions;
  context: CommandContext;
}

/** See `headroom restore --help`. Nothing is written before all of the file has been read and found whole. */
export async function restore(given: Given): Promise<ExitCode> {
  const { file, options, context } = given;
  const loaded = await loadConfig(configFileOf({ option: options.config, ...context }));
  if (!loaded.ok) {
    for (const problem of loaded.problems) context.note(formatProblem(problem));
    return EXIT.usage;
  }
  if (!existsSync(file))
    return context.fail({ code: EXIT.usage, message: `${file}: must be a backup, got nothing` });
  try {
    const backup = await checkBackup(file, 'checked', context);
    const problem = logProblem(backup, loaded.config, options);
    if (problem !== undefined) return context.fail({ code: EXIT.usage, ...problem });
    return await fill(backup, loaded.config, given);
  } catch (error) {
    return failed(error, given);
  }
}

function failed(error: unknown, { file, context }: Given): ExitCode {
  if (error instanceof StoreUnavailable) {
    const { message, hint } = error;
    return context.fail({ code: storeExitCode(error), message, hint });
  }
  const expected = [BackupRefused, DataDirectoryInUse, DataDirectoryFull];
  if (error instanceof Error && expected.some((kind) => error instanceof kind))
    return context.fail({ code: EXIT.usage, message: error.message });
  const { syscall, code } = error as NodeJS.ErrnoException;
  if (syscall === 'open' || syscall === 'read')
    return context.fail({ code: EXIT.usage, message: `${file}: must be a readable file, got ${code}` });
  throw error;
}

/** The tables say where they stand in an event log: it comes along, or it stays where it is, or they must forget it. */
function logProblem(
  { header }: CheckedBackup,
  { store }: Config,
  { newLog }: RestoreCommandOptions,
): { message: string; hint: string } | undefined {
  const hint = '--new-log keeps the history and begins at the start of the log';
  if (newLog) return undefined;
  if (header.log && store.kind !== 'embedded')
    return { message: 'backup: must be without an event log for this store, got one with it', hint };
  if (!header.log && store.kind === 'embedded')
    return { message: 'backup: must have its event log for this store, got one without', hint };
  return undefined;
}

async function fill(backup: CheckedBackup, config: Config, given: Given): Promise<ExitCode> {
  const { file, options, context } = given;
  const dataDir = dataDirOf({ option: options.dataDir, configured: config.dataDir, ...context });
  const { store, logTables } = await openTarget(config, dataDir);
  try {
    const used = await tablesInUse(store.dataSource, logTables);
    if (used.length > 0) {
      const message = `store: must be empty, got rows in ${used.join(', ')}`;
      return context.fail({ code: EXIT.usage, message, hint: 'a store that was never started is empty' });
    }
    const newLog = options.newLog === true;
    const rows = await restoreBackup(store.dataSource, partsOf(file, 'restored', context), {
      partitions: partitionsOf(config),
      logTables: newLog ? [] : logTables,
      newLog,
    });
    const takenAt = new Date(backup.header.takenAtMs).toISOString();
    context.print(
      options.json ? JSON.stringify({ takenAt, rows }) : `${totalOf(rows)} rows of ${takenAt} restored`,
    );
    return EXIT.ok;
  } finally {
    await store.close();
  }
}

async function openTarget(
  { store: settings }: Config,
  dataDir: string,
): Promise<{ store: Store; logTables: readonly string[] }> {
  if (settings.kind === 'postgres') {
    const { openPostgresStore } = await import('#adapters/store/postgres');
    return { store: await openPostgresStore(settings), logTables: [] };
  }
  const store = await openEmbeddedStore({
    dataDir: join(dataDir, 'store'),
    transactionTimeoutMs: RESTORE_WITHIN_MS,
  });
  // Makes its tables.
  await (await EmbeddedEventLog.open(store.engine, { housekeepingMs: 0 })).close();
  return { store, logTables: LOG_TABLE_NAMES };
}

function partitionsOf(config: Config): Record<keyof ReturnType<typeof retentionsOf>, PartitionOptions> {
  const options = (retention: Retention) => ({ retention, nowMs: Date.now, observe: () => undefined });
  const { demand, forecasts, decisions } = retentionsOf(config);
  return { demand: options(demand), forecasts: options(forecasts), decisions: options(decisions) };
}
