import { expect, test } from '@jest/globals';
import { BatchSize } from './batch-size.js';
import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS } from './record-source.js';

test('batches begin small, grow while records are small, and shrink at once when one is large', () => {
  const size = new BatchSize();
  const sizes = [size.records];
  const next = (...bytes: number[]) => {
    size.saw(bytes);
    sizes.push(size.records);
  };
  for (let batch = 0; batch < 7; batch++) next(400, 500);
  expect(sizes).toEqual([8, 16, 32, 64, 128, 256, MAX_BATCH_RECORDS, MAX_BATCH_RECORDS]);
  next(400, MAX_BATCH_BYTES / 4);
  expect(sizes.at(-1)).toBe(4);
  next(500);
  expect(sizes.at(-1)).toBe(8);
  next(10 * MAX_BATCH_BYTES);
  expect(sizes.at(-1)).toBe(1);
});
