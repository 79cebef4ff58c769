import { expect, test } from '@jest/globals';
import timedWait, { waitsOf } from './default.js';

const task = (signal: AbortSignal) => ({
  executionId: 'e',
  taskType: 'default',
  attempt: 1,
  method: 'GET',
  path: '/',
  contentType: undefined,
  body: new Uint8Array(),
  deadlineAtMs: Date.now() + 1000,
  workerId: 'demo-1',
  signal,
});

test('answers with its wait, and ends when it is given up', async () => {
  const { body } = await timedWait(task(new AbortController().signal));
  expect(JSON.parse(body)).toMatchObject({ workerId: 'demo-1', waitedMs: expect.any(Number) });
  const given = new AbortController();
  const waiting = timedWait(task(given.signal));
  given.abort(new Error('given up'));
  await expect(waiting).rejects.toThrow('given up');
});

test('waits have mean 20 ms and cv 0.5; a worker repeats its own', () => {
  const drawn = (workerId: string, count: number) => Array.from({ length: count }, waitsOf(workerId));
  const waits = drawn('demo-1', 40_000);
  const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length;
  const cv = Math.sqrt(waits.reduce((sum, wait) => sum + (wait - mean) ** 2, 0) / waits.length) / mean;
  // Four standard errors: 0.05 ms of the mean, 0.004 of the cv.
  expect(Math.abs(mean - 20)).toBeLessThan(0.2);
  expect(Math.abs(cv - 0.5)).toBeLessThan(0.016);
  expect(drawn('demo-1', 100)).toEqual(waits.slice(0, 100));
  expect(drawn('demo-2', 100)).not.toEqual(waits.slice(0, 100));
});
