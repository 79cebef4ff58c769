import type { DataSource, EntityManager } from 'typeorm';
import { PARTITIONED, PartitionedTable, type PartitionOptions } from '../partitions/partitioned-table.js';
import { PLACE_TABLES, STORE_TABLES, type TableLine } from './backup-format.js';
import type { BackupPart } from './read-backup.js';

/** Rows of one statement, at most this many or about so long. */
const MAX_BATCH_ROWS = 1_000;
const BATCH_CHARS = 1024 * 1024;

export interface RestoreOptions {
  /** Cuts the tables as the program does. */
  partitions: Record<keyof typeof PARTITIONED, PartitionOptions>;
  /** Tables of the event log that are restored as well; they exist and are empty. */
  logTables: readonly string[];
  /** Leaves out where the tables stand in the event log: what comes next is another log's. */
  newLog: boolean;
}

/** Tables that have rows. A store whose program has ever been started has some. */
export async function tablesInUse(dataSource: DataSource, logTables: readonly string[]): Promise<string[]> {
  const used: string[] = [];
  for (const table of [...STORE_TABLES, ...logTables]) {
    const rows = await dataSource.query<unknown[]>(`select 1 from ${table} limit 1`);
    if (rows.length > 0) used.push(table);
  }
  return used;
}

/** Fills an empty store in one transaction: all of the backup is there afterwards, or nothing. Resolves to its rows. */
export async function restoreBackup(
  dataSource: DataSource,
  parts: AsyncIterable<BackupPart>,
  options: RestoreOptions,
): Promise<Record<string, number>> {
  return dataSource.transaction(async (transaction) => {
    const rows: Record<string, number> = {};
    let load: TableLoad | undefined;
    for await (const part of parts) {
      if (part.kind === 'row') await load?.add(part.text);
      else await load?.flush();
      if (part.kind === 'table') {
        const { table } = part.table;
        load = isWanted(table, options)
          ? new TableLoad(transaction, part.table, dataSource, options)
          : undefined;
        if (load !== undefined) rows[table] = 0;
      }
      if (part.kind === 'row' && load !== undefined) rows[load.name] = (rows[load.name] as number) + 1;
    }
    for (const table of Object.keys(rows)) await goOnCounting(transaction, table);
    return rows;
  });
}

function isWanted(table: string, { logTables, newLog }: RestoreOptions): boolean {
  if (newLog && PLACE_TABLES.includes(table)) return false;
  return (STORE_TABLES as readonly string[]).includes(table) || logTables.includes(table);
}

/** Rows of one table on their way into the store. */
class TableLoad {
  readonly name: string;
  private readonly partitioned: PartitionedTable | undefined;
  private readonly time: string | undefined;
  private batch: string[] = [];
  private chars = 0;

  constructor(
    private readonly transaction: EntityManager,
    private readonly line: TableLine,
    dataSource: DataSource,
    { partitions }: RestoreOptions,
  ) {
    this.name = line.table;
    const name = this.name as keyof typeof PARTITIONED;
    this.time = PARTITIONED[name];
    if (this.time !== undefined) this.partitioned = new PartitionedTable(dataSource, name, partitions[name]);
  }

  async add(text: string): Promise<void> {
    this.batch.push(text);
    this.chars += text.length;
    if (this.batch.length >= MAX_BATCH_ROWS || this.chars >= BATCH_CHARS) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.batch.length === 0) return;
    const rows = `[${this.batch.join(',')}]`;
    await this.partitioned?.cover(this.timesOf(rows), this.transaction);
    const columns = this.line.columns.map((column) => `"${column}"`).join(', ');
    // Ids stay what they were, also where the table counts them itself.
    await this.transaction.query(
      `insert into ${this.name} (${columns}) overriding system value
       select ${columns} from json_populate_recordset(null::${this.name}, $1::json)`,
      [rows],
    );
    this.batch = [];
    this.chars = 0;
  }

  private timesOf(rows: string): number[] {
    const column = this.time as string;
    return (JSON.parse(rows) as Record<string, number>[]).map((row) => row[column] as number);
  }
}

/** A table that counts its own ids goes on after the last one. */
async function goOnCounting(transaction: EntityManager, table: string): Promise<void> {
  const [{ sequence }] = await transaction.query<[{ sequence: string | null }]>(
    `select max(pg_get_serial_sequence($1, attname)) as sequence from pg_attribute
     where attrelid = $1::regclass and attname = 'id'`,
    [table],
  );
  if (sequence === null) return;
  await transaction.query(
    `select setval($1::regclass, (select coalesce(max(id), 0) + 1 from ${table}), false)`,
    [sequence],
  );
}
