import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { EXECUTION_HEADERS, type FromWorker, type WorkerStart } from '#adapters/fleet';

let handlersDir: string;
let worker: ChildProcess;

beforeEach(() => {
  handlersDir = mkdtempSync(join(tmpdir(), 'headroom-handlers-'));
  writeFileSync(
    join(handlersDir, 'default.mjs'),
    "export default async () => { throw new Error('no such order'); };",
  );
});
afterEach(async () => {
  if (worker.exitCode === null) {
    const exited = once(worker, 'exit');
    worker.kill('SIGKILL');
    await exited;
  }
  rmSync(handlersDir, { recursive: true });
});

test('what a worker notes is one JSON object a line, with its pool, its id and the execution', async () => {
  worker = fork(join(import.meta.dirname, 'main.js'), [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const start: WorkerStart = {
    kind: 'start',
    pool: 'web',
    workerId: 'web-1',
    slots: 1,
    queueLimit: 1,
    handlersDir,
    startDelayMs: 0,
    drainMs: 1000,
  };
  worker.send(start);
  const [told] = (await once(worker, 'message')) as [FromWorker];
  if (told.kind !== 'listening') throw new Error(`worker: must listen, told ${JSON.stringify(told)}`);
  const lines = createInterface({ input: worker.stderr! });
  const noted = once(lines, 'line');
  const answer = await fetch(`http://127.0.0.1:${told.port}/`, {
    headers: { [EXECUTION_HEADERS.executionId]: 'order-7' },
  });
  expect(answer.status).toBe(500);
  const [line] = (await noted) as [string];
  expect(JSON.parse(line)).toMatchObject({
    level: 40,
    time: expect.any(String),
    pool: 'web',
    workerId: 'web-1',
    executionId: 'order-7',
    msg: 'a handler failed',
    err: expect.stringContaining('no such order'),
  });
});
