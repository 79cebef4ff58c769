import { expect, test } from '@jest/globals';
import timedWait from './default.js';

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
