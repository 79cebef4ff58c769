import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { FromWorker } from '#adapters/fleet';
import { Worker } from './worker.js';

test('a start that fails is told to the fleet, and the worker ends at once', async () => {
  const handlersDir = mkdtempSync(join(tmpdir(), 'headroom-worker-'));
  writeFileSync(join(handlersDir, 'default.mjs'), 'export default async () => undefined;');
  const told: (FromWorker | { exit: number })[] = [];
  const worker = new Worker({
    projectDir: '/nowhere',
    tell: (message) => told.push(message),
    note: () => undefined,
    exit: (code) => told.push({ exit: code }),
  });
  await worker.start({
    kind: 'start',
    pool: 'demo',
    workerId: 'demo-1',
    slots: 1,
    queueLimit: 1,
    handlersDir,
    startDelayMs: 0,
    drainMs: 0,
    events: { url: 'no address', token: 'x' },
  });
  rmSync(handlersDir, { recursive: true });
  expect(told).toEqual([{ kind: 'failed', message: expect.stringContaining('Invalid URL') }, { exit: 1 }]);
});
