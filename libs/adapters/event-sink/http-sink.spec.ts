import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { EventSinkObserver } from './event-sink.js';
import { eventSinkContract, events, ids } from './event-sink.contract.js';
import { HttpSink } from './http-sink.js';

const LIMITS = { lingerMs: 1, retryMinMs: 2, retryMaxMs: 10 };

/** Answers like `POST /v1/events`; `rule` may answer otherwise, or not at all. */
async function openApi(rule: (request: { ids: string[]; token: string; call: number }) => number | 'silent') {
  const received: string[] = [];
  let calls = 0;
  const answer = async (incoming: IncomingMessage, reply: ServerResponse) => {
    let text = '';
    for await (const chunk of incoming) text += String(chunk);
    const batch = (JSON.parse(text) as { id: string }[]).map(({ id }) => id);
    const known =
      incoming.url === '/v1/events' &&
      incoming.method === 'POST' &&
      incoming.headers['content-type'] === 'application/cloudevents-batch+json';
    const token = incoming.headers.authorization?.replace('Bearer ', '') ?? '';
    const status = known ? rule({ ids: batch, token, call: (calls += 1) }) : 404;
    if (status === 'silent') return;
    if (status === 202) received.push(...batch);
    reply.writeHead(status).end('{}');
  };
  const server = createServer((incoming, reply) => void answer(incoming, reply));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

eventSinkContract('HTTP', async () => {
  let failing = false;
  let count = 0;
  const api = await openApi(() => (failing ? [503, 429, 408, 500][count++ % 4]! : 202));
  return {
    open: (observer, limits) => new HttpSink({ url: api.url, token: 't', observer, limits }),
    fail: (now) => void (failing = now),
    received: async () => api.received,
    stop: async () => api.close(),
  };
});

describe('HTTP sink', () => {
  const tally = { acknowledged: 0, refused: 0, retries: [] as string[] };
  const observer: EventSinkObserver = {
    acknowledged: (count) => void (tally.acknowledged += count),
    dropped: (count) => void (tally.refused += count),
    retrying: ({ message }) => void tally.retries.push(message),
  };
  afterEach(() => void Object.assign(tally, { acknowledged: 0, refused: 0, retries: [] }));

  async function sendTen(
    rule: Parameters<typeof openApi>[0],
    limits: Partial<ConstructorParameters<typeof HttpSink>[0]['limits']> = {},
  ) {
    const api = await openApi(rule);
    const sink = new HttpSink({ url: api.url, token: 'old', observer, limits: { ...LIMITS, ...limits } });
    for (const event of events(10)) sink.emit(event);
    await sink.flush(3000);
    await sink.close(3000);
    api.close();
    return api.received;
  }

  test('a batch that is refused is dropped and counted', async () => {
    expect(await sendTen(() => 400)).toEqual([]);
    expect(tally).toEqual({ acknowledged: 0, refused: 10, retries: [] });
  });

  test('a batch that is too large is sent in smaller ones; one event that is too large is refused', async () => {
    const rule = ({ ids }: { ids: string[] }) => (ids.length > 3 || ids.includes('id00004') ? 413 : 202);
    expect((await sendTen(rule)).sort()).toEqual(ids(10).filter((id) => id !== 'id00004'));
    expect(tally).toEqual({ acknowledged: 9, refused: 1, retries: [] });
  });

  test('a batch keeps to its bytes', async () => {
    const sizes: number[] = [];
    const rule = ({ ids }: { ids: string[] }) => (sizes.push(ids.length), 202);
    await sendTen(rule, { batchBytes: 1 });
    expect(sizes).toEqual(Array(10).fill(1));
  });

  test('a receiver that never answers is asked again after the deadline', async () => {
    expect((await sendTen(({ call }) => (call === 1 ? 'silent' : 202), { deliverMs: 300 })).sort()).toEqual(
      ids(10),
    );
    expect(tally.retries).toHaveLength(1);
  });

  test('a new token is used for the repetition', async () => {
    const api = await openApi(({ token }) => (token === 'new' ? 202 : 401));
    const sink = new HttpSink({
      url: api.url,
      token: 'old',
      limits: LIMITS,
      observer: { ...observer, retrying: () => sink.setToken('new') },
    });
    for (const event of events(10)) sink.emit(event);
    await sink.close(3000);
    api.close();
    expect(tally).toMatchObject({ acknowledged: 10, refused: 0 });
  });

  test('https is spoken when the url says so: here nobody answers it', async () => {
    const api = await openApi(() => 202);
    const sink = new HttpSink({
      url: api.url.replace('http:', 'https:'),
      token: 't',
      limits: LIMITS,
      observer,
    });
    sink.emit(events(1)[0]!);
    await sink.close(100);
    api.close();
    expect(tally.refused).toBe(1);
    expect(tally.retries.length).toBeGreaterThan(0);
  });
});
