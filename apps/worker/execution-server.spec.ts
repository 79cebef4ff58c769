import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { EXECUTION_HEADERS, READY_PATH, REPLY_HEADERS } from '#adapters/fleet';
import { checkExecutionEvent, type ExecutionEvent } from '#domain/events';
import type { Handler, Task } from '#sdk';
import {
  ExecutionServer,
  LEAVING_QUIET_MS,
  START_TOLD_AFTER_MS,
  type ExecutionServerOptions,
} from './execution-server.js';
import { Handlers, loadHandlers } from './handler-folder.js';

/** More than all buffers on the way hold. */
const LARGE = Buffer.alloc(16_000_000);
/** Time stands still for setTimeout alone: the connections go on. */
const ALL_BUT_SET_TIMEOUT = [
  'Date',
  'hrtime',
  'nextTick',
  'performance',
  'queueMicrotask',
  'setImmediate',
  'clearImmediate',
  'setInterval',
  'clearInterval',
] as const satisfies string[];

let server: ExecutionServer;
let url: string;
let emitted: ExecutionEvent[];
let overruns: number;
/** Keeps connections, as a router does: one at a time. */
let agent: Agent;
beforeEach(() => void (agent = new Agent({ keepAlive: true, maxSockets: 1 })));
afterEach(() => {
  agent.destroy();
  return server.drain(0);
});

async function open(handlers: Record<string, unknown>, given: Partial<ExecutionServerOptions> = {}) {
  emitted = [];
  overruns = 0;
  server = new ExecutionServer({
    pool: 'demo',
    workerId: 'demo-1',
    slots: 1,
    queueLimit: 1,
    handlers: new Handlers(new Map(Object.entries(handlers) as [string, Handler][])),
    sink: { emit: (event) => void emitted.push(event), flush: async () => {}, close: async () => {} },
    nowMs: Date.now,
    onOverrun: () => (overruns += 1),
    onHandlerError: () => undefined,
    ...given,
  });
  url = `http://127.0.0.1:${await server.listen()}`;
}

function send(
  headers: Record<string, string | number> = {},
  body: string | Buffer = '',
  path = '/',
  by: Agent | false = false,
) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number;
    retryAfter: unknown;
    end: unknown;
    connection: unknown;
  }>();
  const sent = request(`${url}${path}`, { method: 'POST', agent: by, headers }, (reply) => {
    reply.resume().once('end', () => {
      const { 'retry-after': retryAfter, [REPLY_HEADERS.end]: end, connection } = reply.headers;
      resolve({ status: reply.statusCode ?? 0, retryAfter, end, connection });
    });
  }).once('error', reject);
  sent.end(body);
  return { sent, answer: promise };
}
/** A byte now and one every `everyMs`. */
function trickle(everyMs: number, headers: Record<string, string | number> = {}, by: Agent | false = false) {
  const { promise: answer, resolve } = Promise.withResolvers<number | undefined>();
  const sent = request(url, { method: 'POST', agent: by, headers }, (reply) => {
    clearInterval(timer);
    reply.resume();
    resolve(reply.statusCode);
  });
  sent.on('error', () => undefined);
  sent.write('x');
  const timer = setInterval(() => sent.write('x'), everyMs);
  return { sent, answer };
}
const statusOf = async (...given: Parameters<typeof send>) => (await send(...given).answer).status;
const ends = () => emitted.map(({ type, data }) => `${type.split('.')[3]} ${data.errorClass ?? ''}`.trim());

/** A handler that announces each start and waits to be let go. */
function gate() {
  const begun: Task[] = [];
  let announce: (() => void) | undefined;
  const free: (() => void)[] = [];
  const handler: Handler = async (task) => {
    begun.push(task);
    announce?.();
    await new Promise<void>((resolve) => free.push(resolve));
    return undefined;
  };
  const started = async (count: number) => {
    while (begun.length < count) await new Promise<void>((resolve) => (announce = resolve));
  };
  return { handler, begun, started, release: () => free.shift()?.() };
}

describe('execution server', () => {
  test('answers of a handler, good and bad, and what the log is told', async () => {
    await open(
      {
        echo: async ({ body }: Task) => ({ body, contentType: 'text/plain' }),
        nothing: async () => undefined,
        throws: async () => Promise.reject(new TypeError('secret')),
        throwsText: async () => Promise.reject('text'),
        bad: async () => ({ status: 700 }),
        object: async () => ({ body: {} }),
        header: async () => ({ contentType: 'a\nb' }),
        down: async () => ({ status: 502 }),
      },
      { slots: 4 },
    );
    const type = (name: string) => ({ [EXECUTION_HEADERS.taskType]: name });
    expect(await statusOf(type('echo'), 'x')).toBe(200);
    expect(await statusOf(type('nothing'))).toBe(204);
    for (const name of ['throws', 'throwsText', 'bad', 'object', 'header']) {
      expect(await statusOf(type(name))).toBe(500);
    }
    expect(await statusOf(type('down'))).toBe(502);
    expect(await statusOf(type('unknown'))).toBe(404);
    expect(await statusOf(type('echo'), Buffer.alloc(1_048_577), '/', agent)).toBe(413);
    expect(await statusOf({ [EXECUTION_HEADERS.attempt]: 'NaN' })).toBe(400);
    expect(await statusOf({ ...type('echo'), [EXECUTION_HEADERS.deadlineAtMs]: 1 })).toBe(504);
    expect(ends()).toEqual([
      'completed',
      'completed',
      'failed TypeError',
      'failed string',
      'failed RangeError',
      'failed TypeError',
      'failed TypeError',
      'failed status_502',
      'failed unknown_task_type',
      'failed body_too_large',
      'failed deadline',
    ]);
    for (const event of emitted) expect(checkExecutionEvent(event)).toMatchObject({ ok: true });
  });

  test('full is 503 with Retry-After; the deadline frees slot and queue; a caller that leaves is noticed', async () => {
    const { handler, begun, started, release } = gate();
    await open({ default: handler });
    const soon = { [EXECUTION_HEADERS.deadlineAtMs]: Date.now() + 150 };
    const first = send(soon).answer;
    await started(1);
    const second = send(soon);
    const third = send(soon);
    const answers = await Promise.all([first, second.answer, third.answer]);
    expect(answers.map(({ status }) => status).sort()).toEqual([503, 504, 504]);
    expect(answers.find(({ status }) => status === 503)?.retryAfter).toBe('1');
    expect(begun[0]?.signal.aborted).toBe(true);
    expect(ends()).toEqual(['failed deadline', 'failed deadline']);
    // The second may have had the slot for a moment, between the two deadlines.
    const before = begun.length;
    const gone = send();
    await started(before + 1);
    const aborted = new Promise((resolve) => begun[before]!.signal.addEventListener('abort', resolve));
    gone.answer.catch(() => undefined);
    gone.sent.destroy();
    await aborted;
    const last = send().answer;
    await started(before + 2);
    for (let n = 0; n < before + 2; n += 1) release();
    expect((await last).status).toBe(204);
    expect(ends().slice(2)).toEqual(['failed caller_gone', 'completed']);
  });

  test('a leaving worker is not ready, finishes what it has, and gives up in time', async () => {
    const { handler, started, release } = gate();
    await open({ default: handler }, { slots: 2 });
    expect(await statusOf({}, '', READY_PATH)).toBe(200);
    const held = send().answer;
    await started(1);
    const kept = send().answer;
    await started(2);
    const drained = server.drain(100);
    expect(await statusOf({}, '', READY_PATH)).toBe(503);
    release();
    expect((await held).status).toBe(204);
    expect((await kept).status).toBe(503);
    await drained;
    expect(ends()).toEqual(['completed', 'failed drained']);
  });

  test('a leaving worker serves what was on its way, as the last of its connection, until it is quiet', async () => {
    await open({ default: async () => undefined });
    expect(await send({}, '', '/', agent).answer).toMatchObject({ status: 204, connection: 'keep-alive' });
    jest.useFakeTimers({ doNotFake: ALL_BUT_SET_TIMEOUT });
    try {
      let gone = false;
      const drained = server.drain(60_000).then(() => (gone = true));
      // On a connection that was idle when it was told to leave, and on a new one.
      for (const by of [agent, false as const]) {
        jest.advanceTimersByTime(LEAVING_QUIET_MS - 1);
        expect(await send({}, '', '/', by).answer).toMatchObject({ status: 204, connection: 'close' });
      }
      expect(gone).toBe(false);
      await jest.advanceTimersByTimeAsync(LEAVING_QUIET_MS + 1);
      await drained;
    } finally {
      jest.useRealTimers();
    }
    await expect(send().answer).rejects.toThrow('ECONNREFUSED');
    expect(ends()).toEqual(['completed', 'completed', 'completed']);
  });

  test('an answer that is being read when its worker leaves is read to its end', async () => {
    const { handler, started } = gate();
    await open({ default: async () => ({ body: LARGE }), held: handler }, { slots: 2 });
    const half = request(url, { agent: false }).end();
    const [reply] = (await once(half, 'response')) as [IncomingMessage];
    const held = send({ [EXECUTION_HEADERS.taskType]: 'held' }).answer;
    await started(1);
    const drained = server.drain(0);
    expect((await held).status).toBe(503);
    expect((await buffer(reply)).length).toBe(LARGE.length);
    await drained;
  });

  test('the start of a long execution is told while it runs, that of a short one with its end', async () => {
    const { handler, started, release } = gate();
    await open({ default: handler }, { slots: 2 });
    jest.useFakeTimers({ doNotFake: ALL_BUT_SET_TIMEOUT });
    try {
      const long = send({ [EXECUTION_HEADERS.executionId]: 'long' }).answer;
      await started(1);
      jest.advanceTimersByTime(START_TOLD_AFTER_MS - 1);
      expect(emitted).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(emitted).toMatchObject([{ id: 'long.1.started', subject: 'long', data: { attempt: 1 } }]);
      release();
      await long;
      const short = send().answer;
      await started(2);
      release();
      await short;
      jest.advanceTimersByTime(START_TOLD_AFTER_MS);
    } finally {
      jest.useRealTimers();
    }
    expect(ends()).toEqual(['started', 'completed', 'completed']);
    expect(emitted[1]!.data.startedAtMs).toBe(emitted[0]!.data.startedAtMs);
    for (const event of emitted) expect(checkExecutionEvent(event)).toMatchObject({ ok: true });
  });

  test('a body that stops or trickles: 408, the slot is free, and nothing has started', async () => {
    const echo: Handler = async ({ body }) => ({ body });
    await open({ default: echo }, { bodyLimits: { totalMs: 600, silenceMs: 200 }, queueLimit: 4 });
    const stopping = trickle(1_000_000);
    const trickling = trickle(5);
    const patient = send({}, 'all').answer;
    expect(await stopping.answer).toBe(408);
    expect(await trickling.answer).toBe(408);
    expect((await patient).status).toBe(200);
    expect(ends()).toEqual(['failed body_too_slow', 'failed body_too_slow', 'completed']);
    expect(emitted[0]!.data).not.toHaveProperty('startedAtMs');
    for (const event of emitted) expect(checkExecutionEvent(event)).toMatchObject({ ok: true });
    stopping.sent.destroy();
    trickling.sent.destroy();
  });

  test('a body beyond its deadline is given up; what still comes is thrown away', async () => {
    await open({ default: async () => undefined });
    const half = trickle(1_000_000, { [EXECUTION_HEADERS.deadlineAtMs]: Date.now() + 20 }, agent);
    expect(await half.answer).toBe(504);
    half.sent.end(Buffer.alloc(3_000_000));
    // On the same connection: everything before it has been read.
    expect(await statusOf({}, '', '/', agent)).toBe(204);
    expect(ends()).toEqual(['failed deadline', 'completed']);
  });

  test('a body of unsaid length that is far too large: 413, every time', async () => {
    await open({ default: async () => undefined });
    const chunked = { 'transfer-encoding': 'chunked' };
    for (let n = 0; n < 10; n += 1) expect(await statusOf(chunked, LARGE, '/', agent)).toBe(413);
    expect(await statusOf({}, LARGE, '/', agent)).toBe(413);
    expect(ends()).toEqual(Array.from({ length: 11 }, () => 'failed body_too_large'));
  });

  test('every answer whose end is reported says so, no other does', async () => {
    await open({ default: async () => undefined, bad: async () => Promise.reject(new Error('no')) });
    const type = (name: string) => ({ [EXECUTION_HEADERS.taskType]: name });
    expect(await send().answer).toMatchObject({ status: 204, end: 'completed' });
    expect(await send(type('bad')).answer).toMatchObject({ status: 500, end: 'failed' });
    const late = { [EXECUTION_HEADERS.deadlineAtMs]: 1 };
    expect(await send(late).answer).toMatchObject({ status: 504, end: 'failed' });
    expect(ends()).toEqual(['completed', 'failed Error', 'failed deadline']);
    const poison = { [EXECUTION_HEADERS.attempt]: 'NaN' };
    expect(await send(poison).answer).toMatchObject({ status: 400, end: undefined });
    expect(await send({}, '', READY_PATH).answer).toMatchObject({ status: 200, end: undefined });
    const huge = { 'x-huge': 'x'.repeat(40_000) };
    expect(await send(huge).answer).toMatchObject({ status: 431, end: undefined });
    await server.drain(0);
    expect(ends()).toHaveLength(3);
  });

  test('a worker takes every header that a router takes, and those the router adds', async () => {
    let seen = 0;
    await open({ default: async () => void (seen += 1) });
    const headers: Record<string, string> = { 'x-large': 'x'.repeat(13_000) };
    for (let n = 0; n < 1000; n += 1) headers[`x${n}`] = '';
    headers[EXECUTION_HEADERS.executionId] = 'x'.repeat(180);
    headers[EXECUTION_HEADERS.taskType] = 't'.repeat(200);
    expect(await statusOf(headers)).toBe(204);
    expect(seen).toBe(1);
  });

  test('a worker whose handlers ignore their signals says so', async () => {
    await open({ default: () => new Promise(() => undefined) }, { slots: 1, queueLimit: 400 });
    const hurry = () => statusOf({ [EXECUTION_HEADERS.deadlineAtMs]: Date.now() + 5 });
    for (let n = 0; n < 110; n += 1) expect(await hurry()).toBe(504);
    expect(overruns).toBeGreaterThan(0);
  });
});

describe('handler folder', () => {
  test('one module per task type; default takes the rest; what is wrong is said', async () => {
    await open({});
    const dir = mkdtempSync(join(tmpdir(), 'headroom-handlers-'));
    const load = () => loadHandlers({ dir, projectDir: '/nowhere' });
    expect(await load()).toMatchObject({ ok: false });
    writeFileSync(join(dir, 'mail.mjs'), 'export default async () => undefined;');
    writeFileSync(join(dir, 'mail.spec.js'), 'throw new Error("not a handler");');
    const loaded = await load();
    expect(loaded.ok && [loaded.handlers.of('mail'), loaded.handlers.of('x')]).toEqual([
      expect.any(Function),
      undefined,
    ]);
    writeFileSync(join(dir, 'mail.js'), 'export default async () => undefined;');
    expect(await load()).toMatchObject({ problem: expect.stringContaining('got two of mail') });
    writeFileSync(join(dir, 'a.mjs'), 'export const handler = 1;');
    expect(await load()).toMatchObject({ problem: expect.stringContaining('got undefined') });
    writeFileSync(join(dir, '0.mjs'), 'throw new Error("broken")');
    expect(await load()).toMatchObject({ problem: expect.stringContaining('broken') });
    rmSync(dir, { recursive: true });
  });

  test('a folder of the project is loaded from its compiled twin', async () => {
    await open({});
    const projectDir = join(import.meta.dirname, '..', '..', '..');
    const loaded = await loadHandlers({ dir: join(projectDir, 'handlers', 'demo'), projectDir });
    expect(loaded.ok && loaded.handlers.of('anything')).toEqual(expect.any(Function));
  });
});
