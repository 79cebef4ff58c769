import { tmpdir } from 'node:os';
import { describe, expect, test } from '@jest/globals';
import {
  DISK_FULL,
  freeBytesIn,
  MIN_FREE_BYTES,
  neededBytes,
  RESCUE_FREE_BYTES,
  spaceProblem,
} from './free-space.js';

describe('what a statement needs to begin', () => {
  test.each([
    ['select 1', 0],
    ['  SELECT * from policies', 0],
    ['START TRANSACTION', 0],
    ['COMMIT', 0],
    ['rollback', 0],
    ['delete from demand', RESCUE_FREE_BYTES],
    ['vacuum log_chunks', RESCUE_FREE_BYTES],
    ['checkpoint', RESCUE_FREE_BYTES],
    ['insert into log_chunks values (1)', MIN_FREE_BYTES],
    ['UPDATE policies SET version = 2', MIN_FREE_BYTES],
    ['\n  create table if not exists x (y int)', MIN_FREE_BYTES],
    // Whatever is not known to be harmless counts as growth.
    ['with moved as (delete from a returning *) insert into b select * from moved', MIN_FREE_BYTES],
    ['selection', MIN_FREE_BYTES],
  ])('%s', (sql, bytes) => {
    expect(neededBytes(sql)).toBe(bytes);
  });
});

test('too little is disk_full, with the bound and what there is', () => {
  expect(spaceProblem(MIN_FREE_BYTES)).toBeUndefined();
  expect(spaceProblem(MIN_FREE_BYTES - 1)).toEqual({
    message: 'data directory: at least 64 MiB free, got 63 MiB',
    code: DISK_FULL,
  });
  expect(spaceProblem(0, RESCUE_FREE_BYTES)?.message).toContain('at least 32 MiB free, got 0 MiB');
  expect(spaceProblem(0, 0)).toBeUndefined();
});

test('free space is that of the folder', () => {
  expect(freeBytesIn(tmpdir())).toBeGreaterThan(0);
  expect(() => freeBytesIn('/nowhere')).toThrow('ENOENT');
});
