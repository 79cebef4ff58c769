import { expect, test } from '@jest/globals';
import { CHARS_PER_STATEMENT, inStatements, ROWS_PER_STATEMENT } from './bounded-statements.js';

async function sizesOf(chars: readonly number[]): Promise<number[]> {
  const sizes: number[] = [];
  const seen: number[] = [];
  const run = async (some: number[]) => {
    sizes.push(some.length);
    seen.push(...some);
  };
  await inStatements(chars, run, (row) => row);
  expect(seen).toEqual(chars);
  return sizes;
}

test('a statement has so many rows, and so much text', async () => {
  expect(await sizesOf([])).toEqual([]);
  const short = Array.from({ length: 2 * ROWS_PER_STATEMENT + 1 }, () => 1);
  expect(await sizesOf(short)).toEqual([ROWS_PER_STATEMENT, ROWS_PER_STATEMENT, 1]);
  const quarter = CHARS_PER_STATEMENT / 4;
  expect(await sizesOf([quarter, quarter, quarter, quarter, 1, 9 * quarter, 1])).toEqual([4, 2, 1]);
});
