import { z } from 'zod';

/**
 * A backup is text in lines, compressed with gzip:
 *
 *   {"headroom":"backup","format":1,"schema":…,"takenAtMs":…,"log":…}
 *   {"table":"policies","columns":["pool",…]}
 *   {"pool":"web",…}                             one line for each row, as PostgreSQL writes it as JSON
 *   {"table":"demand",…}
 *   …
 *   {"end":{"rows":{"policies":1,…},"sha256":…}}  of every byte before this line
 */
export const BACKUP_FORMAT = 1;

/** Tables of the store, in the order in which they are written. */
export const STORE_TABLES = [
  'policies',
  'demand',
  'demand_chains',
  'demand_series',
  'forecasts',
  'decisions',
  'projection_offsets',
  'event_logs',
] as const;

/** What is a place in an event log: of no use, and harmful, beside another log than the one it is of. */
export const PLACE_TABLES: readonly string[] = ['demand_chains', 'projection_offsets', 'event_logs'];

/** A longer line is no row: an append to the event log is bounded by 64 MiB, and escaped twice. */
export const MAX_LINE_CHARS = 256 * 1024 * 1024;

export const backupHeader = z.object({
  headroom: z.literal('backup'),
  format: z.number().int(),
  /** The last migration of the tables. */
  schema: z.string(),
  takenAtMs: z.number(),
  /** It holds the event log as well. */
  log: z.boolean(),
});
export type BackupHeader = z.output<typeof backupHeader>;

export const tableLine = z.strictObject({
  table: z.string().regex(/^[a-z_]+$/),
  columns: z.array(z.string().regex(/^[a-z_]+$/)),
});
export type TableLine = z.output<typeof tableLine>;

export const endLine = z.strictObject({
  end: z.strictObject({ rows: z.record(z.string(), z.number()), sha256: z.string() }),
});

/** A file that cannot be restored: `damaged`, of a `newer` version, or `foreign`, i.e. no backup at all. */
export class BackupRefused extends Error {
  override name = 'BackupRefused';

  constructor(
    readonly reason: 'damaged' | 'newer' | 'foreign',
    message: string,
  ) {
    super(`backup: ${message}`);
  }
}
