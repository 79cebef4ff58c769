import { expect, test } from '@jest/globals';
import { EXECUTION_HEADERS } from '#adapters/fleet';
import { checkExecutionEvent } from '#domain/events';
import { endEvent } from './execution-events.js';
import { MAX_EXECUTION_MS, readExecution } from './execution-request.js';

const NOW_MS = 1_700_000_000_000.5;

test('headers that are absent have defaults; a deadline has a bound', () => {
  expect(readExecution({}, NOW_MS)).toMatchObject({
    ok: true,
    execution: {
      taskType: 'default',
      attempt: 1,
      queuedAtMs: NOW_MS,
      deadlineAtMs: NOW_MS + MAX_EXECUTION_MS,
    },
  });
  const far = readExecution({ [EXECUTION_HEADERS.deadlineAtMs]: '4000000000000' }, NOW_MS);
  expect(far).toMatchObject({ execution: { deadlineAtMs: NOW_MS + MAX_EXECUTION_MS } });
});

test.each([
  [EXECUTION_HEADERS.attempt, ['0', '-1', '1.5', 'NaN', '', '1001', '1e9']],
  [EXECUTION_HEADERS.queuedAtMs, ['NaN', 'Infinity', '-5', '0', '', '9e15', 'yesterday']],
  [EXECUTION_HEADERS.deadlineAtMs, ['-1', 'soon', '9e15']],
  [EXECUTION_HEADERS.executionId, ['', 'x'.repeat(181)]],
  [EXECUTION_HEADERS.taskType, ['', 'x'.repeat(201)]],
])('%s: poison is refused', (header, values) => {
  for (const value of values) {
    expect(readExecution({ [header]: value }, NOW_MS)).toEqual({
      ok: false,
      problem: expect.stringContaining(`${header}: must`),
    });
  }
});

test('an event is valid and its id says which end of which attempt it is', () => {
  const read = readExecution({ [EXECUTION_HEADERS.executionId]: 'x'.repeat(180) }, NOW_MS);
  if (!read.ok) throw new Error(read.problem);
  const worker = { pool: 'demo', workerId: 'demo-1' };
  const failed = endEvent(worker, read.execution, {
    phase: 'failed',
    startedAtMs: undefined,
    endedAtMs: NOW_MS + 1,
    errorClass: 'E'.repeat(999),
  });
  expect(checkExecutionEvent(failed)).toMatchObject({ ok: true });
  expect(failed.id).toBe(`${'x'.repeat(180)}.1.failed`);
});
