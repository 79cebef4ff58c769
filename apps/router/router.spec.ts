import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { EventSink } from '#adapters/event-sink';
import { REPLY_HEADERS, type FleetMember, type Membership } from '#adapters/fleet';
import { checkExecutionEvent, phaseOf, type ExecutionEvent } from '#domain/events';
import { Router, type RouterOptions } from './router.js';
import { RouterModule } from './router.module.js';
import type { RequestEnd, RouterObserver } from './router-observer.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  jest.useRealTimers();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const DEADLINE_MS = 5000;
/**
 * From here on a deadline passes when the test says so, however long the requests take to get where they shall be then.
 * Connections go on. For requests that are sent after it.
 */
function holdDeadlines(): { pass: () => void } {
  const others = ['Date', 'hrtime', 'nextTick', 'performance', 'queueMicrotask'] as const;
  const alsoReal = ['setImmediate', 'clearImmediate', 'setInterval', 'clearInterval'] as const;
  jest.useFakeTimers({ doNotFake: [...others, ...alsoReal] });
  return { pass: () => jest.advanceTimersByTime(DEADLINE_MS) };
}

/** A real server as worker `workerId`; it answers as told, and says that it reports the end. */
async function startWorker(workerId: string, listener: RequestListener, slots = 1): Promise<TestWorker> {
  const server = createServer((request, response) => {
    response.setHeader(REPLY_HEADERS.end, 'completed');
    listener(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUps.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { server, member: { workerId, url, slots, state: 'ready' } };
}
interface TestWorker {
  server: Server;
  member: FleetMember;
}

/** A worker whose requests wait until the test answers them. */
async function startHeldWorker(workerId: string, slots = 1) {
  const held: { request: IncomingMessage; response: ServerResponse }[] = [];
  const arrivals: (() => void)[] = [];
  const worker = await startWorker(
    workerId,
    (request, response) => {
      held.push({ request, response });
      arrivals.shift()?.();
    },
    slots,
  );
  const next = async () => {
    if (held.length === 0) await new Promise<void>((resolve) => arrivals.push(resolve));
    return held.shift() as { request: IncomingMessage; response: ServerResponse };
  };
  return { ...worker, held, next };
}

/** An address that refuses connections. */
async function deadMember(workerId: string): Promise<FleetMember> {
  const { server, member } = await startWorker(workerId, () => {});
  server.close();
  await once(server, 'close');
  return member;
}

/** The fleet's side of `watch`: the test says who is there. */
function membership() {
  const listeners = new Set<(membership: Membership) => void>();
  return {
    watch: (listener: (membership: Membership) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    set: (members: FleetMember[], pool = 'web') => {
      for (const listener of listeners) listener({ pool, members });
    },
    listeners,
  };
}

/** Keeps what it is given, and lets a test wait for it. */
class RecordingSink implements EventSink {
  readonly events: ExecutionEvent[] = [];
  private readonly waiting: { met: () => boolean; resolve: () => void }[] = [];

  emit(event: ExecutionEvent): void {
    this.events.push(event);
    for (const { met, resolve } of this.waiting) if (met()) resolve();
  }

  async until(met: () => boolean): Promise<void> {
    if (!met()) await new Promise<void>((resolve) => this.waiting.push({ met, resolve }));
  }

  /** `phase` or `phase:errorClass`, in order. */
  get phases(): string[] {
    return this.events.map(({ type, data }) =>
      data.errorClass === undefined ? phaseOf(type) : `${phaseOf(type)}:${data.errorClass}`,
    );
  }

  flush = async () => {};
  close = async () => {};
}

class RecordingObserver implements RouterObserver {
  readonly ends: RequestEnd[] = [];
  readonly others: string[] = [];
  arrived = () => {};
  requestEnded = (end: RequestEnd) => void this.ends.push(end);
  retried = (pool: string) => void this.others.push(`retried ${pool}`);
  unroutable = (reason: string) => void this.others.push(reason);
  listenerFailed = (error: Error) => void this.others.push(error.message);
}

async function startRouter(members: FleetMember[], given: Partial<RouterOptions> = {}) {
  const fleet = membership();
  const sink = new RecordingSink();
  const observer = new RecordingObserver();
  const register = RouterModule.register({
    host: '127.0.0.1',
    port: 0,
    deadlineMs: DEADLINE_MS,
    queueLimit: 100,
    watch: fleet.watch,
    sink,
    pools: () => new Set(['web', 'empty']),
    observer,
    ...given,
  });
  const app = await Test.createTestingModule({ imports: [register] }).compile();
  await app.init();
  cleanUps.push(() => app.close());
  fleet.set(members);
  const router = app.get(Router);
  const url = router.url as string;
  return { app, router, url, fleet, sink, observer };
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  rawHeaders: string[];
  body: string;
}

/** One request over a connection of its own. */
function send(
  url: string,
  given: { method?: string; headers?: Record<string, string | string[]>; body?: Readable | string } = {},
) {
  const { method = 'GET', headers = {}, body } = given;
  const request = httpRequest(url, { method, headers, agent: false });
  const answer = new Promise<Answer>((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      const { statusCode, headers, rawHeaders } = response;
      text(response).then(
        (body) => resolve({ status: statusCode as number, headers, rawHeaders, body }),
        reject,
      );
    });
  });
  answer.catch(() => undefined); // Whoever awaits it sees the failure.
  if (body instanceof Readable) body.pipe(request);
  else request.end(body);
  return { request, answer };
}
const get = (url: string, headers?: Record<string, string>) =>
  send(url, { ...(headers && { headers }) }).answer;

/** Fills the slots of a held worker and returns what it got. */
async function occupy(url: string, worker: { next: () => Promise<{ response: ServerResponse }> }) {
  const sent = send(`${url}/web/occupy`);
  return { ...sent, at: await worker.next() };
}

describe('forwarding', () => {
  test('method, path, query, body and headers go to the worker; status, headers and body come back', async () => {
    let seen: { method?: string; url?: string; body?: string; headers?: IncomingMessage['headers'] } = {};
    const { member } = await startWorker('w1', (request, response) => {
      void text(request).then((body) => {
        seen = { method: request.method!, url: request.url!, body, headers: request.headers };
        response.setHeader('x-answer', 'yes');
        response.setHeader('set-cookie', ['a=1', 'b=2']);
        response.setHeader('connection', 'x-secret');
        response.setHeader('x-secret', 'hop');
        response.statusCode = 201;
        response.end('created');
      });
    });
    const { url, sink, observer } = await startRouter([member]);
    const { answer } = send(`${url}/web/a/b%20c?d=e&f`, {
      method: 'PUT',
      headers: {
        'x-own': 'kept',
        'x-twice': ['1', '2'],
        connection: 'close, x-hop',
        'x-hop': 'dropped',
        te: 'trailers',
        'x-headroom-deadline-at-ms': '1',
        'x-headroom-made-up': 'dropped',
      },
      body: 'hello',
    });
    expect(await answer).toMatchObject({
      status: 201,
      body: 'created',
      headers: { 'x-answer': 'yes', 'set-cookie': ['a=1', 'b=2'] },
    });
    expect((await answer).headers).not.toHaveProperty('x-secret');
    expect(seen).toMatchObject({ method: 'PUT', url: '/a/b%20c?d=e&f', body: 'hello' });
    expect(seen.headers).toMatchObject({
      'x-own': 'kept',
      'x-twice': '1, 2',
      host: url.slice('http://'.length),
      'content-length': '5',
      'x-headroom-attempt': '1',
      'x-headroom-task-type': 'default',
    });
    for (const name of ['x-hop', 'te', 'x-headroom-made-up']) expect(seen.headers).not.toHaveProperty(name);
    const { data, subject, id } = sink.events[0] as ExecutionEvent;
    expect(seen.headers!['x-headroom-execution-id']).toBe(subject);
    expect(id).toBe(`${subject}.1.queued`);
    expect(Number(seen.headers!['x-headroom-queued-at-ms'])).toBe(data.queuedAtMs);
    expect(Number(seen.headers!['x-headroom-deadline-at-ms'])).toBe(data.queuedAtMs + DEADLINE_MS);
    expect(sink.phases).toEqual(['queued']); // the worker tells the rest
    expect(observer.ends).toEqual([
      {
        pool: 'web',
        executionId: subject,
        outcome: 'answered',
        status: 201,
        responseMs: expect.any(Number),
        waitMs: expect.any(Number),
      },
    ]);
  });

  test.each([
    ['/web', '/'],
    ['/web?a=b', '/?a=b'],
    ['/web/', '/'],
    ['/web//x', '//x'],
  ])('%s is the worker’s %s', async (path, expected) => {
    const { member } = await startWorker('w1', (request, response) => response.end(request.url));
    const { url } = await startRouter([member]);
    expect((await get(url + path)).body).toBe(expected);
  });

  test('answers without a body keep their meaning', async () => {
    const { member } = await startWorker('w1', (request, response) => {
      if (request.method === 'HEAD') response.setHeader('content-length', 7);
      else response.statusCode = 204;
      response.writeEarlyHints({ link: '</x>; rel=preload' }); // an interim answer stays here
      response.end();
    });
    const { url } = await startRouter([member]);
    expect(await send(`${url}/web/`, { method: 'HEAD' }).answer).toMatchObject({
      status: 200,
      headers: { 'content-length': '7' },
      body: '',
    });
    expect(await send(`${url}/web/`, { method: 'DELETE' }).answer).toMatchObject({ status: 204, body: '' });
  });

  test('a caller decides what counts as demand only where it is trusted: else every request is an arrival', async () => {
    const { member } = await startWorker('w1', (_, response) => response.end());
    const trusting = { trustsExecutionIds: (pool: string) => pool === 'empty' };
    const { url, sink } = await startRouter([member], trusting);
    for (const attempt of ['1', '1', '2']) {
      const named = { 'x-headroom-execution-id': 'order-7', 'x-headroom-attempt': attempt };
      await get(`${url}/web/`, { ...named, 'x-headroom-task-type': 'resize' });
    }
    expect(new Set(sink.events.map(({ subject }) => subject)).size).toBe(3);
    for (const { subject, data } of sink.events) {
      expect(subject).not.toBe('order-7');
      expect(data).toMatchObject({ attempt: 1, taskType: 'resize' });
    }
  });

  test('a trusted caller’s execution id, attempt and task type are kept, unusable ones replaced', async () => {
    const { member } = await startWorker('w1', (_, response) => response.end());
    const { url, sink } = await startRouter([member], { trustsExecutionIds: () => true });
    await get(`${url}/web/`, {
      'x-headroom-execution-id': 'order-7',
      'x-headroom-attempt': '3',
      'x-headroom-task-type': 'resize',
    });
    await get(`${url}/web/`, {
      'x-headroom-execution-id': 'x'.repeat(181),
      'x-headroom-attempt': '1001',
      'x-headroom-task-type': 'ä',
    });
    expect(sink.events[0]).toMatchObject({
      id: 'order-7.3.queued',
      subject: 'order-7',
      data: { pool: 'web', attempt: 3, taskType: 'resize' },
    });
    expect(sink.events[1]).toMatchObject({
      subject: expect.stringMatching(/^[0-9a-f-]{36}$/),
      data: { attempt: 1, taskType: 'default' },
    });
  });

  test('a body much larger than every buffer flows through, both ways', async () => {
    const chunk = Buffer.alloc(65_536, 7);
    const chunks = 256;
    const { member } = await startWorker('w1', (request, response) => void request.pipe(response));
    const { url } = await startRouter([member], { maxBodyBytes: Infinity });
    const request = httpRequest(`${url}/web/`, { method: 'POST', agent: false });
    Readable.from(Array.from({ length: chunks }, () => chunk)).pipe(request);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let bytes = 0;
    for await (const part of response) bytes += (part as Buffer).length;
    expect(bytes).toBe(chunks * chunk.length);
  });

  test('a caller that does not read holds the worker back: the router keeps no more than its buffers', async () => {
    const chunk = Buffer.alloc(1_048_576);
    let writtenMiB = 0;
    const ended = Promise.withResolvers<void>();
    const { member } = await startWorker('w1', (_, response) => {
      const endless = new Readable({
        read() {
          this.push(++writtenMiB < 128 ? chunk : null);
        },
      });
      response.on('close', ended.resolve);
      endless.pipe(response);
    });
    const { url } = await startRouter([member], { deadlineMs: 2000 });
    const request = httpRequest(`${url}/web/`, { agent: false });
    request.on('error', () => undefined);
    request.on('response', (response) => response.on('error', () => undefined).pause());
    request.end();
    await ended.promise; // at the deadline
    // Two connections' socket buffers are at most 10 MiB each on Linux (tcp_wmem + tcp_rmem).
    expect(writtenMiB).toBeLessThan(64);
    request.destroy();
  });

  test('a body is asked for only when a worker takes it', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink } = await startRouter([worker.member]);
    const first = await occupy(url, worker);
    const story: string[] = [];
    const request = httpRequest(`${url}/web/`, {
      method: 'POST',
      agent: false,
      headers: { expect: '100-continue', 'content-length': '2' },
    });
    request.on('continue', () => {
      story.push('continue');
      request.end('ok');
    });
    request.flushHeaders();
    await sink.until(() => sink.events.length === 2);
    story.push('slot free');
    first.at.response.end();
    const second = await worker.next();
    expect(second.request.headers).not.toHaveProperty('expect');
    expect(await text(second.request)).toBe('ok');
    second.response.end();
    await once(request, 'response');
    expect(story).toEqual(['slot free', 'continue']);
  });
});

describe('queueing', () => {
  test('what is beyond the slots waits, first in first out, never more than slots with the worker', async () => {
    const worker = await startHeldWorker('w1', 2);
    const { url, router, sink } = await startRouter([worker.member]);
    const answers: Promise<Answer>[] = [];
    for (let i = 0; i < 8; i++) {
      answers.push(get(`${url}/web/${i}`));
      await sink.until(() => sink.events.length === i + 1);
    }
    expect(router.snapshot('web')).toEqual({ waiting: 6, inFlight: 2, readyWorkers: 1, slots: 2 });
    const [first, second] = [await worker.next(), await worker.next()];
    // One slot stays taken, so that the others come one by one.
    second.response.end('early');
    for (let i = 2; i < 8; i++) {
      const { request, response } = await worker.next();
      expect(request.url).toBe(`/${i}`);
      expect(worker.held).toEqual([]);
      response.end();
      await answers[i];
    }
    first.response.end();
    await Promise.all(answers);
  });

  test('a full queue answers 503 with Retry-After, and the request counts as demand and as rejected', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink, observer } = await startRouter([worker.member], { queueLimit: 1 });
    const first = await occupy(url, worker);
    const second = get(`${url}/web/second`);
    await sink.until(() => sink.events.length === 2);
    const refused = await get(`${url}/web/third`);
    expect(refused).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1', 'content-type': 'application/problem+json; charset=utf-8' },
    });
    expect(JSON.parse(refused.body)).toEqual({
      type: 'urn:headroom:queue-full',
      title: 'Service Unavailable',
      status: 503,
      detail: 'pool web: at most 1 waiting requests, got one more',
    });
    expect(sink.phases).toEqual(['queued', 'queued', 'queued', 'failed:rejected']);
    const [arrived, failed] = sink.events.slice(2) as [ExecutionEvent, ExecutionEvent];
    expect(failed.subject).toBe(arrived.subject);
    expect(failed.data).not.toHaveProperty('startedAtMs');
    expect(observer.ends).toMatchObject([{ outcome: 'rejected', status: 503, waitMs: undefined }]);
    first.at.response.end();
    (await worker.next()).response.end('served');
    expect((await second).body).toBe('served');
  });

  test('a refused body is not asked for', async () => {
    const { url } = await startRouter([]);
    const request = httpRequest(`${url}/web/`, {
      method: 'POST',
      agent: false,
      headers: { expect: '100-continue', 'content-length': '2' },
    });
    let told = false;
    request.on('continue', () => (told = true));
    request.flushHeaders();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(503);
    expect(told).toBe(false);
    request.destroy();
  });

  test('without a ready worker: 503', async () => {
    const { url, sink, fleet } = await startRouter([]);
    expect(await get(`${url}/web/`)).toMatchObject({ status: 503 });
    const { member } = await startWorker('w1', (_, response) => response.end('there'));
    fleet.set([{ ...member, state: 'draining' }]);
    expect(await get(`${url}/web/`)).toMatchObject({ status: 503 });
    fleet.set([member]);
    expect(await get(`${url}/web/`)).toMatchObject({ status: 200, body: 'there' });
    expect(sink.phases).toEqual(['queued', 'failed:rejected', 'queued', 'failed:rejected', 'queued']);
  });

  test('a worker that drains, then leaves, gets nothing new and finishes what it has', async () => {
    const leaving = await startHeldWorker('w1');
    const { url, router, fleet, sink } = await startRouter([leaving.member]);
    const inFlight = await occupy(url, leaving);
    const waits = get(`${url}/web/waits`);
    await sink.until(() => sink.events.length === 2);
    const { member } = await startWorker('w2', (_, response) => response.end('w2'));
    fleet.set([{ ...leaving.member, state: 'draining' }, member]);
    expect((await waits).body).toBe('w2');
    expect(router.snapshot('web')).toEqual({ waiting: 0, inFlight: 1, readyWorkers: 1, slots: 1 });
    fleet.set([member]);
    inFlight.at.response.end('finished');
    expect((await inFlight.answer).body).toBe('finished');
    expect((await get(`${url}/web/`)).body).toBe('w2');
    expect(leaving.held).toEqual([]);
  });

  test('connections to a worker that drains are not kept: an idle one is closed, and none is used again', async () => {
    const sockets = new Set<Socket>();
    const { member, server } = await startWorker('w1', (request, response) => {
      sockets.add(request.socket);
      response.end();
    });
    // Nobody closes it for having been idle for long: neither the worker nor the router.
    server.keepAliveTimeout = 0;
    const { url, fleet } = await startRouter([member]);
    holdDeadlines();
    await get(`${url}/web/`);
    const [idle] = [...sockets] as [Socket];
    const closed = once(idle, 'close');
    fleet.set([{ ...member, state: 'draining' }]);
    await closed;
    fleet.set([member]);
    expect(await get(`${url}/web/`)).toMatchObject({ status: 200 });
    expect(sockets.size).toBe(2);
  });

  test('a worker of the same name on another port is another worker', async () => {
    const before = await startHeldWorker('w1');
    const { url, fleet, router } = await startRouter([before.member]);
    const { request } = await occupy(url, before);
    const { member } = await startWorker('w1', (_, response) => response.end('new'));
    fleet.set([member]);
    expect((await get(`${url}/web/`)).body).toBe('new');
    expect(router.snapshot('web').inFlight).toBe(1);
    request.destroy();
  });
});

describe('requests that fail', () => {
  test('deadline while waiting: 504; the worker never sees it', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink, router } = await startRouter([worker.member]);
    const deadlines = holdDeadlines();
    const first = await occupy(url, worker);
    const second = get(`${url}/web/2`);
    await sink.until(() => sink.events.length === 2);
    deadlines.pass();
    expect(await first.answer).toMatchObject({ status: 504 });
    expect(await second).toMatchObject({ status: 504, body: expect.stringContaining('within 5000 ms') });
    expect(worker.held).toEqual([]);
    expect(sink.phases.sort()).toEqual(['failed:deadline', 'failed:deadline', 'queued', 'queued']);
    expect(router.snapshot('web')).toMatchObject({ waiting: 0, inFlight: 0 });
  });

  test('deadline at a worker: 504, the worker’s request is aborted, its slot is free', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink } = await startRouter([worker.member]);
    const deadlines = holdDeadlines();
    const slow = get(`${url}/web/slow`);
    const { response } = await worker.next();
    const aborted = once(response, 'close');
    deadlines.pass();
    expect(await slow).toMatchObject({ status: 504 });
    await aborted;
    expect(response.writableFinished).toBe(false);
    const failed = sink.events[1] as ExecutionEvent;
    expect(failed.data).toMatchObject({ errorClass: 'deadline', workerId: 'w1' });
    expect(failed.data.startedAtMs).toBeGreaterThanOrEqual(failed.data.queuedAtMs);
    const next = get(`${url}/web/next`);
    (await worker.next()).response.end('next');
    expect((await next).body).toBe('next');
  });

  test('deadline while connecting: 504, and what connects too late is not sent', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink, fleet } = await startRouter([worker.member]);
    const deadlines = holdDeadlines();
    const late = get(`${url}/web/late`);
    await sink.until(() => sink.events.length === 1);
    // Before the event loop can bring the connection's news.
    deadlines.pass();
    expect(await late).toMatchObject({ status: 504 });
    const { member } = await startWorker('w2', (_, response) => response.end());
    fleet.set([member]);
    expect(await get(`${url}/web/`)).toMatchObject({ status: 200 });
    expect(worker.held).toEqual([]);
    expect(sink.events[1]!.data).not.toHaveProperty('startedAtMs');
  });

  test('deadline within an answer: it is cut off, not completed', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink, observer } = await startRouter([worker.member]);
    const deadlines = holdDeadlines();
    const half = send(`${url}/web/half`);
    (await worker.next()).response.write('half');
    await once(half.request, 'response');
    deadlines.pass();
    await expect(half.answer).rejects.toThrow('aborted');
    expect(sink.phases).toEqual(['queued', 'failed:deadline']);
    expect(observer.ends).toMatchObject([{ outcome: 'deadline', status: 0 }]);
  });

  test('a worker that dies with a request: 502, not retried, because it may have been served', async () => {
    const worker = await startHeldWorker('w1');
    const other = await startHeldWorker('w2', 1);
    const { url, sink, fleet } = await startRouter([worker.member]);
    const { answer, at } = await occupy(url, worker);
    fleet.set([worker.member, other.member]);
    at.response.destroy();
    expect(await answer).toMatchObject({ status: 502, body: expect.stringContaining('worker w1') });
    expect(sink.phases).toEqual(['queued', 'failed:upstream']);
    expect(other.held).toEqual([]);
  });

  test('a worker that dies within its answer: the caller’s connection is cut', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink } = await startRouter([worker.member]);
    const { answer, at, request } = await occupy(url, worker);
    at.response.write('half');
    await once(request, 'response');
    at.response.destroy();
    await expect(answer).rejects.toThrow('aborted');
    expect(sink.phases).toEqual(['queued', 'failed:upstream']);
  });

  test('a worker that cannot be reached: another one gets the request, body included', async () => {
    const dead = await deadMember('dead');
    const { member } = await startWorker('w2', (request, response) => void request.pipe(response));
    const idle = { ...dead, slots: 1 };
    const { url, sink, observer, router } = await startRouter([idle, { ...member, slots: 1 }], {
      random: () => 0,
    });
    expect(await send(`${url}/web/`, { method: 'POST', body: 'whole' }).answer).toMatchObject({
      status: 200,
      body: 'whole',
    });
    expect(observer.others).toEqual(['retried web']);
    expect(sink.phases).toEqual(['queued']);
    expect(router.snapshot('web')).toMatchObject({ waiting: 0, inFlight: 0 });
  });

  test('two workers that cannot be reached: 502 after two tries; a single one: after one', async () => {
    const [one, two, three] = [await deadMember('d1'), await deadMember('d2'), await deadMember('d3')];
    const { url, fleet, observer, sink } = await startRouter([one, two, three]);
    expect(await get(`${url}/web/`)).toMatchObject({ status: 502 });
    expect(observer.others).toEqual(['retried web']);
    fleet.set([one]);
    expect(await get(`${url}/web/`)).toMatchObject({
      status: 502,
      body: expect.stringContaining('ECONNREFUSED'),
    });
    expect(observer.others).toEqual(['retried web']);
    expect(sink.phases).toEqual(['queued', 'failed:upstream', 'queued', 'failed:upstream']);
    expect(sink.events[1]!.data).not.toHaveProperty('startedAtMs');
  });

  test('a caller that goes away: the worker’s request is aborted, the slot is free', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink, observer } = await startRouter([worker.member]);
    const { request, at } = await occupy(url, worker);
    const waiting = send(`${url}/web/waiting`);
    await sink.until(() => sink.events.length === 2);
    const next = get(`${url}/web/next`);
    await sink.until(() => sink.events.length === 3);
    waiting.request.destroy();
    await sink.until(() => sink.events.length === 4);
    const aborted = once(at.response, 'close');
    request.destroy();
    await aborted;
    const { request: served, response } = await worker.next();
    expect(served.url).toBe('/next');
    response.end('next');
    expect((await next).body).toBe('next');
    expect(sink.phases.slice(3)).toEqual(['failed:client-gone', 'failed:client-gone']);
    expect(observer.ends.map(({ outcome }) => outcome)).toEqual(['client-gone', 'client-gone', 'answered']);
  });

  test('a caller that goes away while it still sends', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink } = await startRouter([worker.member]);
    const request = httpRequest(`${url}/web/`, { method: 'POST', agent: false });
    request.on('error', () => undefined);
    request.write('part');
    const { response } = await worker.next();
    const aborted = once(response, 'close');
    request.destroy();
    await aborted;
    await sink.until(() => sink.events.length === 2);
    expect(sink.phases).toEqual(['queued', 'failed:client-gone']);
  });

  test('an answer before the body is read: the answer arrives, and the connection lives on', async () => {
    const { member } = await startWorker('w1', (_, response) => {
      response.writeHead(413);
      response.end('too much');
    });
    const { url } = await startRouter([member], { maxBodyBytes: Infinity });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanUps.push(() => agent.destroy());
    const ports = new Set<number | undefined>();
    for (let i = 0; i < 2; i++) {
      const request = httpRequest(`${url}/web/`, { method: 'POST', agent });
      request.write(Buffer.alloc(8_388_608)); // more than all buffers on the way hold
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      expect(response.statusCode).toBe(413);
      ports.add(response.socket.localPort);
      request.end('more');
      expect(await text(response)).toBe('too much');
    }
    expect(ports.size).toBe(1);
  });

  test('a worker’s answer that announces no report of its own: the router reports the end', async () => {
    const { member } = await startWorker('w1', (_, response) => {
      response.removeHeader(REPLY_HEADERS.end);
      response.writeHead(503).end('leaving');
    });
    const { url, sink, observer } = await startRouter([member]);
    expect(await get(`${url}/web/`)).toMatchObject({ status: 503, body: 'leaving' });
    expect(sink.phases).toEqual(['queued', 'failed:worker-refused']);
    expect(sink.events[1]!.data).not.toHaveProperty('startedAtMs');
    expect(checkExecutionEvent(sink.events[1])).toMatchObject({ ok: true });
    expect(observer.ends).toMatchObject([{ outcome: 'worker-refused', status: 503 }]);
  });

  test.each<[string, Record<string, string>, string[]]>([
    ['by its length', {}, []],
    ['by its length, and the connection ends', { connection: 'close' }, []],
    ['as it flows', { 'transfer-encoding': 'chunked' }, ['/']],
    ['as it flows, and the connection ends', { 'transfer-encoding': 'chunked', connection: 'close' }, ['/']],
  ])('a body that is too large, %s: 413', async (_, headers, atWorker) => {
    const asked: string[] = [];
    const { member } = await startWorker('w1', (request) => {
      asked.push(request.url as string);
      request.on('error', () => undefined).resume();
    });
    const { url, sink, observer } = await startRouter([member], { maxBodyBytes: 1_000_000 });
    const large = 'x'.repeat(16_000_000); // more than all buffers on the way hold
    const answer = await send(`${url}/web/`, { method: 'POST', headers, body: large }).answer;
    expect(answer.status).toBe(413);
    expect(answer.body).toContain('urn:headroom:body-too-large');
    expect(asked).toEqual(atWorker);
    expect(sink.phases).toEqual(['queued', 'failed:too-large']);
    expect(observer.ends).toMatchObject([{ outcome: 'too-large', status: 413 }]);
  });

  test('the largest body that fits is served', async () => {
    const { member } = await startWorker('w1', (request, response) => void request.pipe(response));
    const { url } = await startRouter([member], { maxBodyBytes: 1_000 });
    const answer = await send(`${url}/web/`, { method: 'POST', body: 'x'.repeat(1_000) }).answer;
    expect(answer).toMatchObject({ status: 200, body: 'x'.repeat(1_000) });
  });

  test('a request that no worker can be asked with: 400, and it counts as failed', async () => {
    const { member } = await startWorker('w1', (_, response) => response.end());
    const { url, sink } = await startRouter([member]);
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.end('GET /web/ HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n');
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(sink.phases).toEqual(['queued', 'failed:malformed']);
  });

  test('every event is one that ingest accepts', async () => {
    const trustsExecutionIds = () => true;
    const { url, sink, fleet } = await startRouter([], {
      deadlineMs: 60,
      nowMs: backwards(),
      trustsExecutionIds,
    });
    const worker = await startHeldWorker('w1');
    await get(`${url}/web/`, { 'x-headroom-execution-id': 'x'.repeat(180), 'x-headroom-attempt': '1000' });
    fleet.set([worker.member]);
    await get(`${url}/web/`, { 'x-headroom-task-type': 't'.repeat(200) });
    fleet.set([await deadMember('d1')]);
    await get(`${url}/web/`);
    expect(sink.events).toHaveLength(6);
    for (const event of sink.events) expect(checkExecutionEvent(event)).toMatchObject({ ok: true });
  });
});

/** A clock that is set back by a second at every look. */
function backwards(): () => number {
  let nowMs = Date.now();
  return () => (nowMs -= 1000);
}

describe('what is no execution', () => {
  test.each([
    ['/nobody/', 404, 'unknown-pool'],
    ['/', 404, 'malformed-pool'],
    ['/Web/', 404, 'malformed-pool'],
    ['/-web/', 404, 'malformed-pool'],
    ['/web%20/', 404, 'malformed-pool'],
    ['/web/.headroom/ready', 404, 'reserved-path'],
    ['/web/.headroom?a', 404, 'reserved-path'],
    [`/${'x'.repeat(64)}/`, 404, 'malformed-pool'],
  ])('%s: %i %s', async (path, status, name) => {
    const { url, sink, observer } = await startRouter([]);
    const answer = await get(url + path);
    expect(answer).toMatchObject({
      status,
      headers: { 'content-type': 'application/problem+json; charset=utf-8' },
    });
    expect(JSON.parse(answer.body)).toMatchObject({ type: `urn:headroom:${name}`, status });
    expect(observer.others).toEqual([name]);
    expect(sink.events).toEqual([]);
  });

  test('a WebSocket is refused with 501; an upgrade that may be ignored is ignored', async () => {
    const { member } = await startWorker('w1', (request, response) =>
      response.end(String(request.headers.upgrade)),
    );
    const { url, observer, sink } = await startRouter([member]);
    const websocket = await get(`${url}/web/`, { connection: 'Upgrade', upgrade: 'WebSocket' });
    expect(websocket.status).toBe(501);
    expect(await get(`${url}/web/`, { connection: 'Upgrade', upgrade: 'h2c' })).toMatchObject({
      status: 200,
      body: 'undefined',
    });
    expect(observer.others).toEqual(['upgrade']);
    expect(sink.phases).toEqual(['queued']);
  });

  test.each([
    ['no HTTP', 'nonsense\r\n\r\n', 400, 'malformed-request'],
    ['headers of 20 kB', `GET /web/ HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'],
    ['headers that do not end', 'GET /web/ HTTP/1.1\r\nhost: a\r\n', 408, 'too-slow'],
  ])('%s', async (_, sent, status, reason) => {
    const { url, sink, observer } = await startRouter([], { headersTimeoutMs: 100 });
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(sent);
    const answer = await text(socket);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*application/problem\\+json`));
    expect(observer.others).toEqual([reason]);
    expect(sink.events).toEqual([]);
  });

  test('a connection more than there may be is closed and counted', async () => {
    const { url, observer } = await startRouter([], { maxConnections: 1 });
    const { port } = new URL(url);
    const first = connect(Number(port), '127.0.0.1');
    first.write('GET /nobody/ HTTP/1.1\r\nhost: a\r\n\r\n');
    await once(first, 'data');
    const second = connect(Number(port), '127.0.0.1');
    second.on('error', () => undefined); // closed, or reset
    await once(second, 'close');
    expect(observer.others).toEqual(['unknown-pool', 'too-many-connections']);
    first.destroy();
  });

  test('nothing is written into an answer when the rest of its request cannot be read', async () => {
    const worker = await startHeldWorker('w1');
    const { url, sink, observer } = await startRouter([worker.member]);
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => (answer += String(chunk)));
    socket.write('POST /web/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n');
    const { response } = await worker.next();
    response.write('begun');
    while (!answer.includes('begun')) await once(socket, 'data');
    socket.write('no chunk\r\n');
    await once(socket, 'close');
    expect(answer).not.toContain(' 400 ');
    await sink.until(() => sink.events.length === 2);
    expect(sink.phases).toEqual(['queued', 'failed:client-gone']);
    expect(observer.others).toEqual([]);
  });

  test('a pool without members has an empty snapshot', async () => {
    const { router } = await startRouter([]);
    expect(router.snapshot('empty')).toEqual({ waiting: 0, inFlight: 0, readyWorkers: 0, slots: 0 });
  });
});

describe('start and stop', () => {
  test('a stop lets requests at workers and in line end, refuses new ones, then closes the port', async () => {
    const worker = await startHeldWorker('w1');
    const { app, url, sink, fleet } = await startRouter([worker.member]);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanUps.push(() => agent.destroy());
    const first = await occupy(url, worker);
    const second = get(`${url}/web/second`);
    await sink.until(() => sink.events.length === 2);
    // An open connection, halfway through its request when the stop begins.
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /web/late HTTP/1.1\r\nhost: a\r\n');
    const closed = app.close();
    socket.write('\r\n');
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 503 [^]*connection: close/i);
    first.at.response.end('first');
    (await worker.next()).response.end('second');
    expect(await first.answer).toMatchObject({ body: 'first', headers: { connection: 'close' } });
    expect(await second).toMatchObject({ body: 'second' });
    await closed;
    expect(fleet.listeners.size).toBe(0);
    await expect(get(`${url}/web/`)).rejects.toThrow('ECONNREFUSED');
  });

  test('a stop ends at the latest at the deadline', async () => {
    const worker = await startHeldWorker('w1');
    const { app, url, router } = await startRouter([worker.member]);
    const deadlines = holdDeadlines();
    const { answer } = await occupy(url, worker);
    const closed = app.close();
    deadlines.pass();
    await closed;
    expect(await answer).toMatchObject({ status: 504 });
    expect(router.url).toBeUndefined();
  });

  test('a port that is taken is said', async () => {
    const { url } = await startRouter([]);
    await expect(startRouter([], { port: Number(new URL(url).port) })).rejects.toThrow(
      /^router: 127\.0\.0\.1:\d+ must be free, got EADDRINUSE$/,
    );
  });
});
