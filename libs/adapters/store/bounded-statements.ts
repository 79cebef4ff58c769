/** Rows of one statement: the engine takes 65,535 parameters, and has all of them in memory. */
export const ROWS_PER_STATEMENT = 1_000;

/** Runs one statement for each {@link ROWS_PER_STATEMENT} rows, in their order; none when there are no rows. */
export async function inStatements<Row>(
  rows: readonly Row[],
  run: (rows: Row[]) => Promise<unknown>,
): Promise<void> {
  for (let i = 0; i < rows.length; i += ROWS_PER_STATEMENT) await run(rows.slice(i, i + ROWS_PER_STATEMENT));
}
