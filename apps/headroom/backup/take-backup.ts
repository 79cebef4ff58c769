import { createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LOG_TABLE_NAMES } from '#adapters/event-log';
import { openLocalIdentity } from '#adapters/identity';
import { formatProblem } from '#adapters/input-problems';
import {
  backupStream,
  BackupRefused,
  DataDirectoryFull,
  DataDirectoryInUse,
  openEmbeddedStore,
  openPostgresStore,
  StoreUnavailable,
  type Store,
} from '#adapters/store';
import type { CommandContext } from '../commands/command-context.js';
import { loadConfig } from '../config-file.js';
import type { Config } from '../config.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { configFileOf, dataDirOf } from '../locations.js';
import { originOf } from '../origin.js';
import { storeExitCode } from '../store-exit-code.js';
import { BackupProgress, megabytes } from './backup-progress.js';
import { checkBackup, totalOf } from './checked-backup.js';
import { BACKUP_ROUTES } from './backup.controller.js';

export interface BackupOptions {
  url?: string;
  config?: string;
  dataDir?: string;
  json?: true;
}

/** A program that begins no answer within this time is not there. */
const ANSWER_WITHIN_MS = 60_000;
const TOKEN_S = 300;

interface Given {
  file: string;
  options: BackupOptions;
  context: CommandContext;
}

/** Why there is no backup, and with which exit code the command ends. */
class NoBackup extends Error {
  constructor(
    readonly code: ExitCode,
    message: string,
    readonly hint?: string,
  ) {
    super(message);
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
  if (error instanceof NoBackup) return context.fail(error);
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
async function sourceOf({ options, context }: Given): Promise<Source> {
  const url = options.url ?? context.environment.url;
  if (url !== undefined) return fromProgram(url, context.environment.token);
  const loaded = await loadConfig(configFileOf({ option: options.config, ...context }));
  if (!loaded.ok) throw new NoBackup(EXIT.usage, loaded.problems.map(formatProblem).join('\n'));
  const { config } = loaded;
  const dataDir = dataDirOf({ option: options.dataDir, configured: config.dataDir, ...context });
  if (config.store.kind === 'postgres')
    return fromStore(await openPostgresStore(config.store, { migrates: false }), []);
  const folder = join(dataDir, 'store');
  if (!existsSync(folder))
    throw new NoBackup(EXIT.usage, `data directory: must have a store, got none in ${dataDir}`);
  try {
    return await fromStore(await openEmbeddedStore({ dataDir: folder, migrates: false }), LOG_TABLE_NAMES);
  } catch (error) {
    if (!(error instanceof DataDirectoryInUse)) throw error;
    return fromProgram(originOf(config.api), await ownToken(dataDir, config));
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

/** Whoever can read the key of the data directory may sign. */
async function ownToken(dataDir: string, { identity }: Config): Promise<string> {
  const { tokenMaxS } = identity;
  const opened = await openLocalIdentity(dataDir, { create: false, tokenMaxS });
  if (!opened.ok) throw new NoBackup(EXIT.notAllowed, opened.problem, opened.hint);
  const lifetimeS = Math.min(TOKEN_S, tokenMaxS);
  const { token } = await opened.identity.signToken({
    scopes: ['backup:read'],
    lifetimeS,
    subject: 'backup',
  });
  return token;
}

async function fromProgram(url: string, token: string | undefined): Promise<Source> {
  const answer = await asked(url, token);
  if (!answer.ok || answer.body === null) throw await refused(url, answer);
  const backup = Readable.from(bodyOf(url, answer.body as AsyncIterable<Uint8Array>));
  return { backup, close: async () => undefined };
}

async function asked(url: string, token: string | undefined): Promise<Response> {
  const begun = new AbortController();
  const late = setTimeout(() => begun.abort(), ANSWER_WITHIN_MS);
  try {
    return await fetch(new URL(BACKUP_ROUTES.backup.path, url), {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      signal: begun.signal,
    });
  } catch (error) {
    const { message, cause } = error as Error;
    const actual = cause instanceof Error ? cause.message : message;
    throw new NoBackup(EXIT.unreachable, `${url}: must answer, got: ${actual}`);
  } finally {
    clearTimeout(late);
  }
}

async function* bodyOf(url: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw new NoBackup(EXIT.unreachable, `${url}: must send all of it, got: ${(error as Error).message}`);
  }
}

async function refused(url: string, answer: Response): Promise<NoBackup> {
  const { detail = answer.statusText } = (await answer.json().catch(() => ({}))) as { detail?: string };
  const message = `${url}: must give a backup, got ${answer.status}: ${detail}`;
  if (answer.status === 401 || answer.status === 403)
    return new NoBackup(EXIT.notAllowed, message, 'HEADROOM_TOKEN needs the scope backup:read');
  return new NoBackup(answer.status >= 500 ? EXIT.unreachable : EXIT.failed, message);
}
