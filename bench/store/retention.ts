import type { DataSource } from 'typeorm';
import type { Store } from '#adapters/store';

export interface Given {
  /** What it took, ms. */
  durationMs: number;
  rows: number;
  /** Space that the table gave back, bytes. */
  freedBytes: number;
}

/** A plain table of two days, as the opponent's: what it gives back when the older one is deleted. */
const PLAIN = 'bench_plain';

/** Drops the oldest partition of demand as retention does; and deletes as many rows of a table that has none. */
export async function giveBackADay({ dataSource }: Store): Promise<{ dropped: Given; deleted: Given }> {
  const [oldest, next, after] = await partitions(dataSource);
  if (oldest === undefined || next === undefined || after === undefined)
    throw new Error('bench:store: at least three days of demand');
  await dataSource.query(`create table ${PLAIN} (like demand including all)`);
  await dataSource.query(`insert into ${PLAIN} select * from "${next}" order by start_ms`);
  await dataSource.query(`insert into ${PLAIN} select * from "${after}" order by start_ms`);
  await dataSource.query(`vacuum (analyze) ${PLAIN}`);
  const untilMs = Number(after.split('_')[1]);
  const rows = async (table: string, where = '') => {
    const [row] = await dataSource.query<[{ rows: string | number }]>(
      `select count(*) as rows from "${table}" ${where}`,
    );
    return Number(row.rows);
  };
  const counted = { dropped: await rows(oldest), deleted: await rows(PLAIN, `where start_ms < ${untilMs}`) };
  const dropped = await measured(dataSource, oldest, () => dataSource.query(`drop table "${oldest}"`));
  const deleted = await measured(dataSource, PLAIN, async () => {
    await dataSource.query(`delete from ${PLAIN} where start_ms < ${untilMs}`);
    await dataSource.query(`vacuum ${PLAIN}`);
  });
  return {
    dropped: { ...dropped, rows: counted.dropped },
    deleted: { ...deleted, rows: counted.deleted },
  };
}

async function partitions(dataSource: DataSource): Promise<string[]> {
  const rows = await dataSource.query<{ name: string }[]>(
    `select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid
     where inhparent = 'demand'::regclass order by relname limit 3`,
  );
  return rows.map(({ name }) => name);
}

async function measured(
  dataSource: DataSource,
  table: string,
  work: () => Promise<unknown>,
): Promise<Omit<Given, 'rows'>> {
  const bytes = async () => {
    const [row] = await dataSource.query<[{ bytes: string | number | null }]>(
      'select pg_total_relation_size(to_regclass($1)) as bytes',
      [`"${table}"`],
    );
    return Number(row.bytes ?? 0);
  };
  const before = await bytes();
  const startedMs = performance.now();
  await work();
  const durationMs = performance.now() - startedMs;
  return { durationMs, freedBytes: before - (await bytes()) };
}
