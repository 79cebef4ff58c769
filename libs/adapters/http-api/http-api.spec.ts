import 'reflect-metadata';
import { Agent, request as httpRequest } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { z } from 'zod';
import {
  apiAdapter,
  CallerOf,
  configureApi,
  Endpoint,
  FromBody,
  FromParams,
  FromQuery,
  openApiOf,
  problem,
  type Caller,
  type Route,
  type UnexpectedFailure,
} from './index.js';

const pool = z.strictObject({ pool: z.string().max(5) });
const page = z.strictObject({ limit: z.coerce.number().int().min(1).max(10).default(5) });
const order = z.strictObject({ workers: z.number().int().min(0) });
const failure = z.strictObject({ code: z.string().optional(), name: z.string().optional() });
const CLOUD_EVENTS = 'application/cloudevents+json';

const routes = {
  alive: {
    method: 'GET',
    path: '/healthz',
    summary: 'Alive',
    scope: 'public',
    response: z.object({ ok: z.boolean() }),
  },
  read: {
    method: 'GET',
    path: '/v1/pools/:pool',
    summary: 'One pool',
    scope: 'pools:read',
    params: pool,
    query: page,
    response: z.object({ pool: z.string(), limit: z.number(), subject: z.string().optional() }),
    responseHeaders: { ETag: 'Version.' },
    refusals: { 404: 'No such pool.' },
  },
  write: {
    method: 'PUT',
    path: '/v1/pools/:pool',
    summary: 'Set workers',
    scope: 'pools:write',
    params: pool,
    body: order,
    status: 202,
    accepts: ['application/json', CLOUD_EVENTS],
    requestHeaders: { 'If-Match': 'Version.' },
  },
  broken: {
    method: 'GET',
    path: '/v1/broken',
    summary: 'Breaks',
    scope: 'public',
    response: z.string(),
    produces: 'text/plain',
  },
  remove: { method: 'DELETE', path: '/v1/broken', summary: 'Delete', scope: 'public', status: 204 },
  busy: {
    method: 'GET',
    path: '/v1/busy',
    summary: 'Busy',
    scope: 'public',
    refusals: { 503: { description: 'Says why.', response: z.object({ why: z.string() }) } },
  },
  full: { method: 'GET', path: '/v1/full', summary: 'Has no room', scope: 'public' },
  away: { method: 'GET', path: '/v1/away', summary: 'Is away', scope: 'public', query: failure },
  hook: {
    method: 'POST',
    path: '/v1/hooks/:sender',
    summary: 'Takes what senders send',
    scope: 'events:write',
    proof: 'The length of the body, or the name of the sender.',
    params: z.strictObject({ sender: z.string() }),
    body: order,
    response: z.object({ subject: z.string() }),
  },
} satisfies Record<string, Route>;

@Controller()
class PoolController {
  @Endpoint(routes.alive)
  alive() {
    return { ok: true };
  }

  @Endpoint(routes.read)
  read(
    @FromParams(pool) { pool: name }: z.infer<typeof pool>,
    @FromQuery(page) query: z.infer<typeof page>,
    @CallerOf() caller: Caller,
  ) {
    if (name === 'gone')
      throw problem(404, {
        name: 'unknown-pool',
        detail: 'pool: must be known, got gone',
        hint: 'see /v1/pools',
      });
    return { pool: name, ...query, subject: caller.subject };
  }

  @Endpoint(routes.write)
  write(@FromBody(order) body: z.infer<typeof order>) {
    return body;
  }

  @Endpoint(routes.hook)
  hook(@FromBody(order) _: z.infer<typeof order>, @CallerOf() caller: Caller) {
    return { subject: caller.subject };
  }

  @Endpoint(routes.broken)
  broken() {
    throw new Error('password=secret');
  }

  @Endpoint(routes.remove)
  remove() {}

  @Endpoint(routes.full)
  full() {
    throw Object.assign(new Error('could not extend file "base/5/1"'), { code: '53100' });
  }

  @Endpoint(routes.away)
  away(@FromQuery(failure) how: z.infer<typeof failure>) {
    throw Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), how);
  }

  // Not in the table, as if someone had forgotten it.
  @Endpoint({ method: 'GET', path: '/v1/forgotten', summary: '', scope: 'public' })
  forgotten() {
    return 'open';
  }
}

@Module({ controllers: [PoolController] })
class ApiModule {}

let app: NestFastifyApplication;
let base: string;
const unexpected: UnexpectedFailure[] = [];

const problems: number[] = [];
const refusedTokens: string[] = [];
beforeAll(async () => {
  const onProblem = (status: number) => problems.push(status);
  const adapter = apiAdapter({ bodyLimitBytes: 1000, onProblem });
  app = await NestFactory.create<NestFastifyApplication>(ApiModule, adapter, {
    bodyParser: false,
    logger: false,
  });
  configureApi(app, {
    routes: Object.values(routes),
    // A token that names its scopes; the real check has its own tests.
    verify: async (token) =>
      token.startsWith('good.')
        ? { ok: true, scopes: [token.slice('good.'.length).replace('-', ':')], subject: 'ada' }
        : { ok: false, reason: 'expired' },
    // Signatures and secrets that are easily made; the real ones have their own tests.
    proofOf: ({ params, headers }) => {
      const caller = { subject: `webhook ${params['sender']}`, scopes: ['events:write'] };
      const { 'x-length': length, 'x-secret': secret } = headers;
      if (length !== undefined)
        return { outcome: 'signed', caller, holds: (body) => body.length === Number(length) };
      if (secret === undefined) return undefined;
      return secret === params['sender'] ? { outcome: 'passed', caller } : { outcome: 'refused' };
    },
    onUnexpected: (failure) => unexpected.push(failure),
    onTokenRefused: (reason) => refusedTokens.push(reason),
    onProblem,
    maxBodiesBytes: 1500,
  });
  await app.listen(0, '127.0.0.1');
  base = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
});
afterAll(() => app.close());

test('every answer that is a problem is counted by its status', async () => {
  problems.length = 0;
  await fetch(`${base}/healthz`);
  await fetch(`${base}/nowhere`);
  await fetch(`${base}/v1/pools/a`);
  expect(problems).toEqual([404, 401]);
});

test('every refused token is counted by its reason', async () => {
  refusedTokens.length = 0;
  await call('GET', '/v1/pools/web');
  await call('GET', '/v1/pools/web', { token: 'Basic YTpi' });
  await call('GET', '/v1/pools/web', { token: 'Bearer old' });
  await call('GET', '/v1/pools/web', { scope: 'pools:write' });
  await call('GET', '/v1/pools/web', { scope: 'pools:read' });
  expect(refusedTokens).toEqual(['none', 'no-bearer', 'expired', 'scope']);
});

async function call(
  method: string,
  path: string,
  given: {
    scope?: string;
    token?: string;
    body?: string;
    type?: string;
    headers?: Record<string, string>;
  } = {},
) {
  const token =
    given.token ?? (given.scope === undefined ? undefined : `Bearer good.${given.scope.replace(':', '-')}`);
  const reply = await fetch(base + path, {
    method,
    headers: {
      ...(token !== undefined && { authorization: token }),
      ...(given.body !== undefined && { 'content-type': given.type ?? 'application/json' }),
      ...given.headers,
    },
    ...(given.body !== undefined && { body: given.body }),
  });
  const text = await reply.text();
  const json = /json/.test(reply.headers.get('content-type') ?? '') && text !== '' ? JSON.parse(text) : text;
  return {
    status: reply.status,
    type: reply.headers.get('content-type'),
    headers: reply.headers,
    body: json,
  };
}

/** Sends bytes, and resolves with what comes back until the other side closes or the body is there. */
function raw(bytes: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let answer = '';
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(base).port) }, () => socket.write(bytes));
  socket.on('data', (chunk) => {
    answer += chunk.toString();
    if (answer.endsWith('}')) socket.destroy();
  });
  socket.on('error', reject).on('close', () => resolve(answer));
  return promise;
}

describe('access', () => {
  test('a public route needs no token', async () => {
    expect(await call('GET', '/healthz')).toMatchObject({ status: 200, body: { ok: true } });
  });

  test('the right scope opens a route and the caller is known', async () => {
    const reply = await call('GET', '/v1/pools/web?limit=7', { scope: 'pools:read' });
    expect(reply).toMatchObject({ status: 200, body: { pool: 'web', limit: 7, subject: 'ada' } });
  });

  test.each([
    ['no token', undefined, 'none', 'Bearer realm="headroom"'],
    ['another kind of credentials', 'Basic YTpi', 'something else', 'Bearer realm="headroom"'],
    ['a bad token', 'Bearer old', 'expired', 'Bearer realm="headroom", error="invalid_token"'],
  ])('%s: 401 with a challenge', async (_, token, actual, challenge) => {
    const reply = await call('GET', '/v1/pools/web', token === undefined ? {} : { token });
    expect(reply).toMatchObject({
      status: 401,
      type: 'application/problem+json; charset=utf-8',
      body: {
        type: 'urn:headroom:no-valid-token',
        status: 401,
        detail: `token: must be a valid bearer token, got ${actual}`,
      },
    });
    expect(reply.headers.get('www-authenticate')).toBe(challenge);
  });

  test('another scope: 403 that names the needed one', async () => {
    const reply = await call('PUT', '/v1/pools/web', { scope: 'pools:read', body: '{"workers":1}' });
    expect(reply).toMatchObject({
      status: 403,
      body: { title: 'Forbidden', hint: 'headroom token --scope pools:write --for 8h' },
    });
    expect(reply.headers.get('www-authenticate')).toContain(
      'error="insufficient_scope", scope="pools:write"',
    );
  });

  test('a route outside the table is closed, not open', async () => {
    expect(await call('GET', '/v1/forgotten')).toMatchObject({ status: 403 });
  });

  test('HEAD has the scope of GET', async () => {
    expect((await call('HEAD', '/v1/pools/web')).status).toBe(401);
    expect((await call('HEAD', '/v1/pools/web', { scope: 'pools:read' })).status).toBe(200);
  });

  test('a stranger is refused before the body arrives', async () => {
    const status = await new Promise((resolve, reject) => {
      const sending = httpRequest(`${base}/v1/pools/web`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', 'content-length': '900' },
      });
      sending.on('response', (reply) => {
        resolve(reply.statusCode);
        sending.destroy();
      });
      sending.on('error', reject);
      // Only the head is sent; the 900 bytes never come.
      sending.flushHeaders();
    });
    expect(status).toBe(401);
  });
});

describe('senders that cannot bring a token', () => {
  const hook = (headers: Record<string, string>, body: string | undefined = '{"workers":3}') =>
    call('POST', '/v1/hooks/etl', { headers, ...(body !== '' && { body }) });
  const wrong = { status: 401, body: { type: 'urn:headroom:wrong-proof' } };

  test('sign the body, or bring the secret, where the route says so', async () => {
    const known = { status: 200, body: { subject: 'webhook etl' } };
    expect(await hook({ 'x-length': '13' })).toMatchObject(known);
    expect(await hook({ 'x-secret': 'etl' })).toMatchObject(known);
    const elsewhere = { headers: { 'x-secret': 'web' }, body: '{"workers":3}' };
    expect(await call('PUT', '/v1/pools/web', elsewhere)).toMatchObject({
      status: 401,
      body: { type: 'urn:headroom:no-valid-token' },
    });
  });

  test('are refused with another one, before their body is looked into', async () => {
    refusedTokens.length = 0;
    expect(await hook({ 'x-secret': 'other' })).toMatchObject(wrong);
    expect(await hook({ 'x-length': '12' })).toMatchObject(wrong);
    expect(await hook({ 'x-length': '12' }, 'no JSON')).toMatchObject(wrong);
    expect(await hook({ 'x-length': '0' }, '')).toMatchObject(wrong);
    expect(refusedTokens).toEqual(['proof', 'proof', 'proof', 'proof']);
  });

  test('may bring a token all the same, and need one without a proof', async () => {
    const body = '{"workers":3}';
    expect(await call('POST', '/v1/hooks/etl', { scope: 'events:write', body })).toMatchObject({
      status: 200,
    });
    expect(await call('POST', '/v1/hooks/etl', { body })).toMatchObject({
      status: 401,
      body: { type: 'urn:headroom:no-valid-token' },
    });
  });
});

describe('input', () => {
  const write = (body: string, type?: string) =>
    call('PUT', '/v1/pools/web', { scope: 'pools:write', body, ...(type !== undefined && { type }) });

  test('a good body is accepted with the route’s status, in every media type of the route', async () => {
    expect(await write('{"workers":3}')).toMatchObject({ status: 202, body: { workers: 3 } });
    expect(await write('{"workers":3}', CLOUD_EVENTS)).toMatchObject({ status: 202 });
  });

  test('a wrong body: 422 with every place', async () => {
    expect(await write('{"workers":-1,"worker":2}')).toMatchObject({
      status: 422,
      type: 'application/problem+json; charset=utf-8',
      body: {
        type: 'urn:headroom:invalid-input',
        detail: 'body: workers: must be ≥ 0, got -1',
        errors: [
          { where: 'workers', rule: 'must be ≥ 0', actual: '-1' },
          { where: 'worker', rule: 'must be a known key (did you mean workers?)', actual: '"worker"' },
        ],
      },
    });
  });

  test.each([
    ['wrong JSON', '{"workers":', undefined, 400],
    ['an empty body', '', undefined, 400],
    ['a body of too many levels', '['.repeat(65) + ']'.repeat(65), undefined, 400],
    ['a prototype key', '{"__proto__":{"workers":1}}', undefined, 400],
    ['another media type', 'workers=1', 'application/x-www-form-urlencoded', 415],
    ['plain text', '{"workers":1}', 'text/plain', 415],
    ['too much', JSON.stringify({ workers: 'x'.repeat(2000) }), undefined, 413],
  ])('%s is a problem', async (_, body, type, status) => {
    expect(await write(body, type)).toMatchObject({
      status,
      type: 'application/problem+json; charset=utf-8',
      body: { status, detail: expect.any(String) },
    });
  });

  test('a route without a body takes a media type without a body', async () => {
    expect(await call('DELETE', '/v1/broken', { body: '' })).toMatchObject({ status: 204 });
    expect(await call('DELETE', '/v1/broken', { body: '{' })).toMatchObject({ status: 400 });
  });

  test('a wrong query or path: 400', async () => {
    expect(await call('GET', '/v1/pools/web?limit=0', { scope: 'pools:read' })).toMatchObject({
      status: 400,
      body: { errors: [{ where: 'limit', rule: 'must be ≥ 1', actual: '"0"' }] },
    });
    expect(await call('GET', '/v1/pools/longer', { scope: 'pools:read' })).toMatchObject({
      status: 400,
      body: { detail: 'path: pool: must be ≤ 5 characters, got "longer"' },
    });
  });
});

describe('room for bodies', () => {
  const put = (headers: string[], body: string) =>
    [
      'PUT /v1/pools/web HTTP/1.1',
      'host: x',
      'authorization: Bearer good.pools-write',
      'content-type: application/json',
      ...headers,
      '',
      body,
    ].join('\r\n');
  const body = JSON.stringify({ workers: 1 }).padEnd(800);

  /** A request whose body is on its way. */
  async function begun(headers: string[], start = body.slice(0, 10), head = put): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(base).port) });
    const asked = new Promise<void>((resolve) => {
      app.getHttpServer().once('request', () => resolve());
    });
    socket.write(head(headers, start));
    await asked;
    return socket;
  }
  const write = () => call('PUT', '/v1/pools/web', { scope: 'pools:write', body });

  test('without it: 503, to be tried again; with the end of a request, whichever, there is room again', async () => {
    const other = await begun(['content-length: 800']);
    const refused = await write();
    expect(refused).toMatchObject({ status: 503, body: { type: 'urn:headroom:overloaded' } });
    expect(refused.headers.get('retry-after')).toBe('1');
    // What has no body needs no room.
    expect(await call('GET', '/v1/pools/web', { scope: 'pools:read' })).toMatchObject({ status: 200 });
    const answered = new Promise((resolve) => other.once('data', resolve));
    other.write(body.slice(10));
    expect(String(await answered)).toMatch(/^HTTP\/1.1 202/);
    expect(await write()).toMatchObject({ status: 202 });
    other.destroy();
  });

  test('who may be a stranger takes none of the room of those who have proved who they are', async () => {
    const signed = (headers: string[], start: string) =>
      put(['x-length: 800', ...headers], start)
        .replace('PUT /v1/pools/web', 'POST /v1/hooks/etl')
        .replace('authorization: Bearer good.pools-write\r\n', '');
    const others = [await begun(['content-length: 800'], body.slice(0, 10), signed)];
    const hook = () => call('POST', '/v1/hooks/etl', { headers: { 'x-length': '800' }, body });
    // One more of them has no room, and all others have theirs.
    expect(await hook()).toMatchObject({ status: 503, body: { type: 'urn:headroom:overloaded' } });
    expect(await write()).toMatchObject({ status: 202 });
    for (const other of others) other.destroy();
    while ((await hook()).status === 503);
  });

  test('a body without a length takes as much as one may have; a caller that goes away takes none', async () => {
    const other = await begun(['transfer-encoding: chunked'], 'a\r\n{"workers"\r\n');
    expect(await write()).toMatchObject({ status: 503 });
    other.destroy();
    // The server hears of it a moment later, and it is nobody's fault.
    while ((await write()).status !== 202);
    expect(unexpected).toEqual([]);
  });
});

describe('problems', () => {
  test('an unknown address: 404; a known one with another method: 405 with Allow', async () => {
    expect(await call('GET', '/v2/none?x=1')).toMatchObject({ status: 404, body: { title: 'Not Found' } });
    const reply = await call('DELETE', '/v1/pools/web?x=1');
    expect(reply).toMatchObject({ status: 405, body: { detail: 'method: must be GET, PUT, got DELETE' } });
    expect(reply.headers.get('allow')).toBe('GET, PUT');
  });

  test.each([
    [
      'GET /v1/pools/%zz HTTP/1.1\r\nhost: a',
      400,
      'address: must be percent-encoded UTF-8, got something else',
    ],
    [
      `GET /v1/pools/${'a'.repeat(201)} HTTP/1.1\r\nhost: a`,
      414,
      'address: must have parameters of at most 200 characters, got a longer one',
    ],
    ['nonsense', 400, 'request: must be HTTP/1.1, got something else'],
    [
      `GET / HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(20_000)}`,
      431,
      'headers: must be at most 16 KiB together, got more',
    ],
  ])('what no route could take is a problem too: %.25s', async (head, status, detail) => {
    problems.length = 0;
    const answer = await raw(`${head}\r\n\r\n`);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain('content-type: application/problem+json; charset=utf-8\r\n');
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({ status, detail });
    expect(problems).toEqual([status]);
  });

  test('a controller’s problem arrives as it is', async () => {
    expect(await call('GET', '/v1/pools/gone', { scope: 'pools:read' })).toMatchObject({
      status: 404,
      body: {
        type: 'urn:headroom:unknown-pool',
        detail: 'pool: must be known, got gone',
        hint: 'see /v1/pools',
      },
    });
    expect(unexpected).toEqual([]);
  });

  test('a bug: 500 without its text for the caller, all of it for the log', async () => {
    const reply = await call('GET', '/v1/broken');
    expect(reply).toMatchObject({
      status: 500,
      body: { type: 'about:blank', title: 'Internal Server Error', status: 500 },
    });
    expect(JSON.stringify(reply.body)).not.toContain('secret');
    expect(unexpected).toMatchObject([
      { method: 'GET', route: '/v1/broken', error: new Error('password=secret') },
    ]);
  });

  test('a store without room: 503, to be tried again', async () => {
    const reply = await call('GET', '/v1/full');
    expect(reply).toMatchObject({ status: 503, body: { type: 'urn:headroom:no-resources' } });
    expect(reply.headers.get('retry-after')).toBe('10');
    expect(JSON.stringify(reply.body)).not.toContain('base/5');
    expect(unexpected.at(-1)).toMatchObject({ route: '/v1/full', error: { code: '53100' } });
  });

  test.each([
    ['is away', 'code=08000'],
    ['restarts', 'code=57P01'],
    ['is too slow', 'code=57014'],
    ['only reads', 'code=25006'],
    ['went between two statements', 'name=QueryRunnerAlreadyReleasedError'],
  ])('a store that %s: 503, to be tried again', async (_, how) => {
    const reply = await call('GET', `/v1/away?${how}`);
    expect(reply).toMatchObject({ status: 503, body: { type: 'urn:headroom:store-unavailable' } });
    expect(reply.headers.get('retry-after')).toBe('10');
    expect(JSON.stringify(reply.body)).not.toContain('10.0.0.7');
  });

  test('a status without a name has a title all the same', () => {
    expect(problem(599).problem).toEqual({ type: 'about:blank', title: 'Error', status: 599 });
  });
});

describe('openApiOf', () => {
  const document = openApiOf(Object.values(routes), { title: 'T', version: '1' }) as {
    paths: Record<string, Record<string, Record<string, never>>>;
  };

  test('both methods of an address, with parameters, security and refusals', () => {
    expect(Object.keys(document.paths['/v1/pools/{pool}']!)).toEqual(['get', 'put']);
    expect(document.paths['/v1/pools/{pool}']!['get']).toMatchObject({
      operationId: 'getPoolsByPool',
      security: [{ token: ['pools:read'] }],
      parameters: [
        { name: 'pool', in: 'path', required: true, schema: { type: 'string', maxLength: 5 } },
        { name: 'limit', in: 'query', required: false, schema: { default: 5 } },
      ],
      responses: {
        200: { headers: { ETag: { description: 'Version.' } } },
        404: { description: 'No such pool.', content: { 'application/problem+json': {} } },
      },
    });
    expect(document.paths['/v1/pools/{pool}']!['put']).toMatchObject({
      parameters: [{ name: 'pool' }, { name: 'If-Match', in: 'header' }],
      requestBody: { content: { [CLOUD_EVENTS]: { schema: { additionalProperties: false } } } },
      responses: { 202: { description: 'Success.' }, 413: {}, 415: {}, 422: {} },
    });
    expect(document.paths['/v1/busy']!['get']).toMatchObject({
      responses: {
        503: {
          description: 'Says why.',
          content: { 'application/json': { schema: { properties: { why: { type: 'string' } } } } },
        },
      },
    });
    expect(document.paths['/v1/broken']!['get']).toMatchObject({
      security: [],
      responses: { 200: { content: { 'text/plain': {} } } },
    });
  });

  test('what senders may bring instead of a token is another way in', () => {
    expect(document.paths['/v1/hooks/{sender}']!['post']).toMatchObject({
      security: [{ token: ['events:write'] }, { proof: [] }],
    });
    expect(document).toMatchObject({
      components: {
        securitySchemes: { proof: { description: 'The length of the body, or the name of the sender.' } },
      },
    });
  });

  test('every reference in it resolves', () => {
    const text = JSON.stringify(document);
    expect([...text.matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1])).toEqual(
      expect.arrayContaining(['#/components/schemas/Problem']),
    );
    expect(new Set([...text.matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1])).size).toBe(1);
  });
});

describe('a stop', () => {
  const slow = { method: 'GET', path: '/v1/slow', summary: 'Waits', scope: 'public' } satisfies Route;
  let reached: PromiseWithResolvers<void>;
  let answer: PromiseWithResolvers<void>;

  @Controller()
  class SlowController {
    @Endpoint(slow)
    async slow() {
      reached.resolve();
      await answer.promise;
    }
  }
  @Module({ controllers: [SlowController] })
  class SlowModule {}

  test('waits for the answer at hand, and for no other request of its connection', async () => {
    [reached, answer] = [Promise.withResolvers(), Promise.withResolvers()];
    const adapter = apiAdapter({ bodyLimitBytes: 1000 });
    const options = { bodyParser: false, logger: false } as const;
    const app = await NestFactory.create<NestFastifyApplication>(SlowModule, adapter, options);
    const verify = async () => ({ ok: false as const, reason: 'none' });
    configureApi(app, { routes: [slow], verify, onUnexpected: () => undefined });
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    const agent = new Agent({ keepAlive: true });
    const { promise: status, resolve } = Promise.withResolvers<number | undefined>();
    httpRequest({ port, path: '/v1/slow', agent }, (reply) => {
      reply.resume().once('end', () => resolve(reply.statusCode));
    }).end();
    await reached.promise;
    const closed = app.close();
    // It no longer listens: the idle connections have been closed by now, and this one was not idle.
    await refused(port);
    answer.resolve();
    expect(await status).toBe(200);
    await closed;
    agent.destroy();
  });
});

async function refused(port: number): Promise<void> {
  for (;;) {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const socket = connect(port, '127.0.0.1', () => resolve(false)).once('error', () => resolve(true));
    const isRefused = await promise;
    socket.destroy();
    if (isRefused) return;
  }
}
