import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startToxiproxy, type ToxicProxy, type Toxiproxy } from '#parts/toxiproxy';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { serverContract } from './server.contract.js';

serverContract({
  part: 'toxiproxy',
  start: startToxiproxy,
  address: ({ apiUrl }) => apiUrl,
  ask: async ({ apiUrl }) => (await fetch(`${apiUrl}/proxies`)).json(),
  answer: {},
});

let upstream: Server;
let toxiproxy: Toxiproxy;
let proxy: ToxicProxy;
beforeAll(async () => {
  upstream = createServer((_, response) => response.end('served')).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  toxiproxy = await startToxiproxy();
  proxy = await toxiproxy.proxy('web', `127.0.0.1:${(upstream.address() as AddressInfo).port}`);
});
afterAll(async () => {
  await toxiproxy?.stop();
  upstream.closeAllConnections();
  upstream.close();
});

async function get(withinMs = 30_000): Promise<{ text: string; tookMs: number }> {
  const startMs = performance.now();
  const answer = await fetch(`http://${proxy.address}/`, {
    signal: AbortSignal.timeout(withinMs),
  });
  return { text: await answer.text(), tookMs: performance.now() - startMs };
}

test('a proxy passes everything on, until it is cut and after it is joined', async () => {
  expect((await get()).text).toBe('served');
  await proxy.cut();
  await expect(get()).rejects.toThrow('fetch failed');
  await proxy.join();
  expect((await get()).text).toBe('served');
});

test('latency delays and silence keeps the connection open, until they are cured', async () => {
  const LATENCY_MS = 300;
  await proxy.poison('latency', { latency: LATENCY_MS });
  expect((await get()).tookMs).toBeGreaterThan(LATENCY_MS - 5); // two clocks
  await proxy.cure('latency');
  await proxy.poison('timeout', { timeout: 0 });
  await expect(get(500)).rejects.toThrow('aborted due to timeout');
  await proxy.cure('timeout');
  expect((await get()).text).toBe('served');
});

test('what toxiproxy refuses is said', async () => {
  await expect(proxy.cure('latency')).rejects.toThrow('toxic not found');
});
