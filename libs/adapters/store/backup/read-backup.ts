import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';
import { MIGRATIONS } from '../data-source.js';
import {
  BACKUP_FORMAT,
  backupHeader,
  BackupRefused,
  endLine,
  MAX_LINE_CHARS,
  tableLine,
  type BackupHeader,
  type TableLine,
} from './backup-format.js';

/** A part of a backup: its header, the beginning of a table, a row of it as JSON, or its end. */
export type BackupPart =
  | { kind: 'header'; header: BackupHeader }
  | { kind: 'table'; table: TableLine }
  | { kind: 'row'; text: string }
  | { kind: 'end'; rows: Record<string, number> };

/**
 * Reads a backup part by part. The end comes only when everything before it is as it was written; throws BackupRefused
 * otherwise, so nothing that was read may count before the end.
 */
export async function* readBackup(file: Readable): AsyncGenerator<BackupPart> {
  const hash = createHash('sha256');
  const rows: Record<string, number> = {};
  let table: string | undefined;
  let isFirst = true;
  for await (const line of linesOf(file)) {
    if (isFirst) {
      yield { kind: 'header', header: headerIn(line) };
      isFirst = false;
    } else if (line.startsWith('{"end":')) {
      yield { kind: 'end', rows: checkedEnd(line, { rows, sha256: hash.digest('hex') }) };
      return;
    } else if (line.startsWith('{"table":')) {
      const begun = parsed(line, tableLine);
      table = begun.table;
      rows[table] = 0;
      yield { kind: 'table', table: begun };
    } else if (table === undefined) {
      throw new BackupRefused('damaged', 'a row must belong to a table, got one before the first');
    } else {
      rows[table] = (rows[table] as number) + 1;
      yield { kind: 'row', text: line };
    }
    hash.update(`${line}\n`);
  }
  throw new BackupRefused('damaged', 'must have an end, got none: it is not all there');
}

async function* linesOf(file: Readable): AsyncGenerator<string> {
  const unzip = createGunzip();
  // Its errors come out of the loop below.
  pipeline(file, unzip, () => undefined);
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const chunk of unzip as AsyncIterable<Buffer>) {
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = lines.pop() as string;
      if (rest.length > MAX_LINE_CHARS)
        throw new BackupRefused('damaged', `lines of at most ${MAX_LINE_CHARS} characters, got a longer one`);
      yield* lines;
    }
  } catch (error) {
    throw refusalOf(error);
  }
}

/** zlib knows three: what is no gzip, what does not agree with its checksum, and what ends too early. */
function refusalOf(error: unknown): unknown {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (!code.startsWith('Z_')) return error;
  if (message === 'incorrect header check')
    return new BackupRefused('foreign', 'must be a file of `headroom backup`, got something else');
  return new BackupRefused('damaged', `must be as it was written, got: ${message}`);
}

function headerIn(line: string): BackupHeader {
  const header = backupHeader.safeParse(json(line)).data;
  if (header === undefined)
    throw new BackupRefused('foreign', 'must be a file of `headroom backup`, got something else');
  const known = MIGRATIONS.map(({ name }) => name);
  if (header.format > BACKUP_FORMAT)
    throw new BackupRefused('newer', `format ${BACKUP_FORMAT} or older, got ${header.format}`);
  if (!known.includes(header.schema))
    throw new BackupRefused('newer', `tables of ${known.at(-1)} or older, got ${header.schema}`);
  return header;
}

function checkedEnd(
  line: string,
  found: { rows: Record<string, number>; sha256: string },
): Record<string, number> {
  const { rows, sha256 } = parsed(line, endLine).end;
  if (sha256 !== found.sha256)
    throw new BackupRefused('damaged', `must have the checksum ${sha256}, got ${found.sha256}`);
  if (JSON.stringify(rows) !== JSON.stringify(found.rows))
    throw new BackupRefused('damaged', `must have the rows ${JSON.stringify(rows)}, got other numbers`);
  return rows;
}

function parsed<T>(line: string, schema: { safeParse(value: unknown): { data?: T | undefined } }): T {
  const { data } = schema.safeParse(json(line));
  if (data === undefined)
    throw new BackupRefused('damaged', `lines as they were written, got ${line.slice(0, 80)}`);
  return data;
}

function json(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
