import { createReadStream, statSync } from 'node:fs';
import { pipeline } from 'node:stream';
import { readBackup, type BackupHeader, type BackupPart } from '#adapters/store';
import type { CommandContext } from '../commands/command-context.js';
import { BackupProgress } from './backup-progress.js';

export interface CheckedBackup {
  header: BackupHeader;
  /** By table. */
  rows: Record<string, number>;
}

/** The parts of a backup file, with progress. */
export async function* partsOf(
  file: string,
  what: string,
  context: CommandContext,
): AsyncGenerator<BackupPart> {
  const progress = new BackupProgress(context.progress, what, statSync(file).size);
  const counter = progress.counter();
  // Its errors come out of the counter.
  pipeline(createReadStream(file), counter, () => undefined);
  try {
    yield* readBackup(counter);
  } finally {
    progress.close();
  }
}

/** Reads all of a file to see that it is as it was written. Throws BackupRefused. */
export async function checkBackup(
  file: string,
  what: string,
  context: CommandContext,
): Promise<CheckedBackup> {
  let header: BackupHeader | undefined;
  let rows: Record<string, number> = {};
  for await (const part of partsOf(file, what, context)) {
    if (part.kind === 'header') header = part.header;
    if (part.kind === 'end') rows = part.rows;
  }
  return { header: header as BackupHeader, rows };
}

export function totalOf(rows: Record<string, number>): number {
  return Object.values(rows).reduce((sum, count) => sum + count, 0);
}
