import { createHash } from 'node:crypto';
import type { StoreSnapshot } from '../store.js';
import { BACKUP_FORMAT, STORE_TABLES, type BackupHeader, type TableLine } from './backup-format.js';

/** What is read from the store at a time, about; a row may be longer. */
const CHUNK_CHARS = 1024 * 1024;
const MAX_CHUNK_ROWS = 5_000;

/** The lines of a backup, some at a time. Memory is bounded by a few megabytes, or by the longest row. */
export async function* writeBackup(
  snapshot: StoreSnapshot,
  given: { takenAtMs: number; logTables: readonly string[] },
): AsyncGenerator<string> {
  const { takenAtMs, logTables } = given;
  const hash = createHash('sha256');
  const rows: Record<string, number> = {};
  const header: BackupHeader = {
    headroom: 'backup',
    format: BACKUP_FORMAT,
    schema: await schemaOf(snapshot),
    takenAtMs,
    log: logTables.length > 0,
  };
  const hashed = (text: string) => (hash.update(text), text);
  yield hashed(lineOf(header));
  for (const table of await existing(snapshot, [...STORE_TABLES, ...logTables])) {
    const columns = await columnsOf(snapshot, table);
    yield hashed(lineOf({ table, columns } satisfies TableLine));
    rows[table] = 0;
    for await (const texts of rowsOf(snapshot, table)) {
      rows[table] += texts.length;
      yield hashed(texts.map((text) => `${text}\n`).join(''));
    }
  }
  yield lineOf({ end: { rows, sha256: hash.digest('hex') } });
}

const lineOf = (value: unknown): string => `${JSON.stringify(value)}\n`;

async function schemaOf(snapshot: StoreSnapshot): Promise<string> {
  const [last] = await snapshot.query<{ name: string }>(
    'select name from migrations order by timestamp desc limit 1',
  );
  return last?.name ?? '';
}

/** Of these tables those that there are: a store at rest may be as an older version has left it. */
async function existing(snapshot: StoreSnapshot, tables: readonly string[]): Promise<string[]> {
  const rows = await snapshot.query<{ name: string }>(
    `select name from unnest($1::text[]) with ordinality as wanted(name, place)
     where to_regclass(name) is not null order by place`,
    [tables],
  );
  return rows.map(({ name }) => name);
}

async function columnsOf(snapshot: StoreSnapshot, table: string): Promise<string[]> {
  const rows = await snapshot.query<{ name: string }>(
    `select attname as name from pg_attribute
     where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`,
    [table],
  );
  return rows.map(({ name }) => name);
}

/** As many rows at a time as fit, judged by those before. */
async function* rowsOf(snapshot: StoreSnapshot, table: string): AsyncGenerator<string[]> {
  await snapshot.query(
    `declare backup_rows no scroll cursor for select row_to_json(t)::text as text from ${table} as t`,
  );
  for (let count = 1; ;) {
    const found = await snapshot.query<{ text: string }>(`fetch ${count} from backup_rows`);
    if (found.length === 0) break;
    const texts = found.map(({ text }) => text);
    yield texts;
    const chars = texts.reduce((sum, text) => sum + text.length, 0);
    const fitting = Math.floor((CHUNK_CHARS * texts.length) / chars);
    count = Math.max(1, Math.min(MAX_CHUNK_ROWS, fitting, count * 10));
  }
  await snapshot.query('close backup_rows');
}
