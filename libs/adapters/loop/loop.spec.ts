import { expect, test } from '@jest/globals';
import { Loop, type LoopObserver } from './loop.js';

const recorded = () => {
  const ran: { durationMs: number; overrun: boolean }[] = [];
  const failed: string[] = [];
  const observer: LoopObserver = {
    ran: (run) => ran.push(run),
    failed: ({ name, error }) => failed.push(`${name}: ${error.message}`),
  };
  return { ran, failed, observer };
};

test('runs again and again without overlap, and stop waits for the run at hand', async () => {
  const { ran, observer } = recorded();
  let running = 0;
  let most = 0;
  let ended = 0;
  const third = Promise.withResolvers<void>();
  const run = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    if (++ended === 3) third.resolve();
  };
  const loop = new Loop({ name: 'l', periodMs: 0, timeoutMs: 1000, run, observer });
  loop.start();
  loop.start();
  await third.promise;
  await loop.stop();
  expect(most).toBe(1);
  expect(running).toBe(0);
  expect(ran).toHaveLength(ended);
  expect(ran[0]?.overrun).toBe(true);
});

test('a run that throws or hangs is reported, and the loop goes on', async () => {
  const { failed, observer } = recorded();
  let runs = 0;
  const fourth = Promise.withResolvers<void>();
  const aborted: boolean[] = [];
  const run = async (signal: AbortSignal) => {
    runs++;
    if (runs === 1) throw new Error('bad luck');
    if (runs === 2) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    aborted.push(signal.aborted);
    if (runs === 4) fourth.resolve();
  };
  const loop = new Loop({ name: 'l', periodMs: 1, timeoutMs: 30, run, observer });
  loop.start();
  await fourth.promise;
  await loop.stop();
  expect(failed).toEqual(['l: bad luck', 'l: loop l: a run must end within 30 ms']);
  expect(aborted[0]).toBe(true);
});

test('a run that ignores its signal keeps the next one waiting, never beside it', async () => {
  const { failed, ran, observer } = recorded();
  const release = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  const run = async () => {
    most = Math.max(most, ++running);
    if (failed.length === 0) await release.promise;
    running--;
  };
  const told = Promise.withResolvers<void>();
  const went = Promise.withResolvers<void>();
  const telling: LoopObserver = {
    ran: (news) => (observer.ran(news), went.resolve()),
    failed: (news) => (observer.failed(news), failed.length === 3 && told.resolve()),
  };
  const loop = new Loop({ name: 'l', periodMs: 1, timeoutMs: 20, run, observer: telling });
  loop.start();
  await told.promise;
  expect(failed[0]).toMatch(/must end within 20 ms/);
  expect(failed[2]).toMatch(/must end first/);
  expect(ran).toEqual([]);
  release.resolve();
  await went.promise;
  await loop.stop();
  expect(most).toBe(1);
});
