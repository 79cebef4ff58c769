import { createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LOG_TABLE_NAMES } from '#adapters/event-log';
import { formatProblem } from '#adapters/input-problems';
import {
  backupStream,
  BackupRefused,
  DataDirectoryFull,
  DataDirectoryInUse,
  openEmbeddedStore,
  StoreUnavailable,
  type Store,
} from '#adapters/store';
import { openApiSession, type ApiOptions } from '../api-session.js';
import type { CommandContext, Failure } from '../commands/command-context.js';
import { loadConfig } from '../config-file.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { configFileOf, dataDirOf } from '../locations.js';
import { storeExitCode } from '../store-exit-code.js';
import { BackupProgress, megabytes } from './backup-progress.js';
import { checkBackup, totalOf } from './checked-backup.js';
import { BACKUP_ROUTES } from './backup.controller.js';

export interface BackupOptions extends ApiOptions {
  json?: true;
}

interface Given {
  file: string;
  options: BackupOptions;
  context: CommandContext;
}

/** Why there is no backup, and with which exit code the command ends. */
class NoBackup extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

/** See `headroom backup --help`. The file gets its name when it has been read back and found whole. */
export async function takeBackup({ file, options, context }: Given): Promise<ExitCode> {
  const part = `${file}.part`;
  if (existsSync(file))
    return context.fail({ code: EXIT.usage, message: `${file}: must not exist, got a file` });
  try {
    await write(part, { file, options, context });
    const { header, rows } = await checkBackup(part, 'checked', context);
    renameSync(part, file);
    const bytes = statSync(file).size;
    const takenAt = new Date(header.takenAtMs).toISOString();
    context.print(
      options.json
        ? JSON.stringify({ file: resolve(file), takenAt, bytes, log: header.log, rows })
        : `${file}: ${totalOf(rows)} rows of ${takenAt}, ${megabytes(bytes)}`,
    );
    return EXIT.ok;
  } catch (error) {
    rmSync(part, { force: true });
    return failed(error, { file, options, context });
  }
}

function failed(error: unknown, { file, context }: Given): ExitCode {
  if (error instanceof NoBackup) return context.fail(error.failure);
  if (error instanceof StoreUnavailable) {
    const { message, hint } = error;
    return context.fail({ code: storeExitCode(error), message, hint });
  }
  // It was whole when it was sent.
  if (error instanceof BackupRefused) return context.fail({ code: EXIT.failed, message: error.message });
  if (error instanceof DataDirectoryFull) return context.fail({ code: EXIT.usage, message: error.message });
  const { code, path } = error as NodeJS.ErrnoException;
  if (code !== undefined && path !== undefined)
    return context.fail({ code: EXIT.usage, message: `${file}: must be writable, got ${code}` });
  throw error;
}

async function write(part: string, given: Given): Promise<void> {
  const { backup, close } = await sourceOf(given);
  const progress = new BackupProgress(given.context.progress, 'written');
  try {
    const target = createWriteStream(part, { flags: 'w', mode: 0o600, flush: true });
    await pipeline(backup, progress.counter(), target);
  } finally {
    progress.close();
    await close();
  }
}

interface Source {
  backup: Readable;
  close(): Promise<void>;
}

/** A program that runs gives it; otherwise it is taken from the store itself. */
async function sourceOf(given: Given): Promise<Source> {
  const { options, context } = given;
  if ((options.url ?? context.environment.url) !== undefined) return fromProgram(given);
  const loaded = await loadConfig(configFileOf({ option: options.config, ...context }));
  if (!loaded.ok)
    throw new NoBackup({ code: EXIT.usage, message: loaded.problems.map(formatProblem).join('\n') });
  const { config } = loaded;
  const dataDir = dataDirOf({ option: options.dataDir, configured: config.dataDir, ...context });
  if (config.store.kind === 'postgres') {
    const { openPostgresStore } = await import('#adapters/store/postgres');
    return fromStore(await openPostgresStore(config.store, { migrates: false }), []);
  }
  const folder = join(dataDir, 'store');
  if (!existsSync(folder)) {
    const message = `data directory: must have a store, got none in ${dataDir}`;
    throw new NoBackup({ code: EXIT.usage, message });
  }
  try {
    return await fromStore(await openEmbeddedStore({ dataDir: folder, migrates: false }), LOG_TABLE_NAMES);
  } catch (error) {
    if (!(error instanceof DataDirectoryInUse)) throw error;
    return fromProgram(given);
  }
}

async function fromStore(store: Store, logTables: readonly string[]): Promise<Source> {
  try {
    return { backup: await backupStream(store, { takenAtMs: Date.now(), logTables }), close: store.close };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** With the key of the data directory when no address is named: whoever can read it may sign. */
async function fromProgram({ options, context }: Given): Promise<Source> {
  const opened = await openApiSession(options, { scope: 'backup:read', subject: 'backup' }, context);
  if (!opened.ok) throw new NoBackup(opened);
  const begun = await opened.value.open(BACKUP_ROUTES.backup.path);
  if (!begun.ok) throw new NoBackup(begun);
  const { body, url } = begun.value;
  if (body === null)
    throw new NoBackup({ code: EXIT.unreachable, message: `${url}: must give a backup, got nothing` });
  const backup = Readable.from(bodyOf(url, body as AsyncIterable<Uint8Array>));
  return { backup, close: async () => undefined };
}

async function* bodyOf(url: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    const message = `${url}: must send all of it, got: ${(error as Error).message}`;
    throw new NoBackup({ code: EXIT.unreachable, message });
  }
}
