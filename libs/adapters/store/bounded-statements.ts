/** Rows of one statement: the engine takes 65,535 parameters, and has all of them in memory. */
export const ROWS_PER_STATEMENT = 1_000;
/** Text of its rows; the row that reaches it is the last. */
export const CHARS_PER_STATEMENT = 4 * 1024 * 1024;

/**
 * Runs one statement for each {@link ROWS_PER_STATEMENT} rows or {@link CHARS_PER_STATEMENT}, in their order; none when
 * there are no rows. `charsOf`: text of a row, where it may be long.
 */
export async function inStatements<Row>(
  rows: readonly Row[],
  run: (rows: Row[]) => Promise<unknown>,
  charsOf: (row: Row) => number = () => 0,
): Promise<void> {
  let [some, chars]: [Row[], number] = [[], 0];
  for (const row of rows) {
    some.push(row);
    chars += charsOf(row);
    if (some.length < ROWS_PER_STATEMENT && chars < CHARS_PER_STATEMENT) continue;
    await run(some);
    [some, chars] = [[], 0];
  }
  if (some.length > 0) await run(some);
}
