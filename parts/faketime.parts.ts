import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processClock, removeSharedMemory } from '#parts/faketime';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

/** Tells both of its clocks and those of a thread, ms since they were told before, again and again. */
const PROGRAM = `
  import { Worker } from 'node:worker_threads';
  const tell = 'setInterval(() => console.log(JSON.stringify({ wallMs: Date.now(), uptimeMs: performance.now(), thread })), 20)';
  new Worker('const thread = true;' + tell, { eval: true });
  eval('const thread = false;' + tell);`;
const OFFSET_MS = 30_000;
const TOLD_WITHIN_MS = 1_000;

interface Told {
  wallMs: number;
  uptimeMs: number;
  thread: boolean;
}

const folder = mkdtempSync(join(tmpdir(), 'headroom-faketime-'));
const clock = processClock(join(folder, 'clock'));
let program: ChildProcess;
let listener: (told: Told) => void = () => undefined;
beforeAll(() => {
  const args = ['--input-type=module', '--eval', PROGRAM];
  program = spawn(process.execPath, args, {
    env: { ...process.env, ...clock.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  program.stdout?.setEncoding('utf8').on('data', (lines: string) => {
    for (const line of lines.trim().split('\n')) listener(JSON.parse(line) as Told);
  });
});
afterAll(() => {
  program?.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** Resolves when the clock of the program, and of its thread, is so much ahead of the machine's. */
function ahead(offsetMs: number, thread: boolean): Promise<Told> {
  return new Promise((resolve) => {
    listener = (told) => {
      const isThere = Math.abs(told.wallMs - Date.now() - offsetMs) < TOLD_WITHIN_MS;
      if (isThere && told.thread === thread) resolve(told);
    };
  });
}

test('the clock of a running program is set ahead, and back, in every thread; its timers and ours stay', async () => {
  const [beforeMs, first] = [performance.now(), await ahead(0, false)];
  for (const offsetMs of [OFFSET_MS, -OFFSET_MS, 0]) {
    clock.set(offsetMs / 1000);
    for (const thread of [false, true]) await ahead(offsetMs, thread);
  }
  const last = await ahead(0, false);
  const tookMs = performance.now() - beforeMs;
  expect(last.uptimeMs - first.uptimeMs).toBeLessThan(tookMs);
  expect(last.uptimeMs - first.uptimeMs).toBeGreaterThan(tookMs - TOLD_WITHIN_MS);
});

test('what a killed program has left in shared memory is removed, and nobody else’s', async () => {
  const left = () => readdirSync('/dev/shm').filter((name) => name.endsWith(`_${program.pid}`));
  removeSharedMemory();
  expect(left()).toHaveLength(2);
  const ended = new Promise((resolve) => program.once('exit', resolve));
  program.kill('SIGKILL');
  await ended;
  expect(left()).toHaveLength(2);
  removeSharedMemory();
  expect(left()).toEqual([]);
});
