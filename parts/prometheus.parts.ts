import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { startPrometheus, type Prometheus } from '#parts/prometheus';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { serverContract } from './server.contract.js';

const WITHIN_MS = 30_000;
const SECOND_MS = 1000;

/** The value of an instant query, undefined when there is none. */
async function query(url: string, text: string, atMs = Date.now()): Promise<string | undefined> {
  const parameters = new URLSearchParams({ query: text, time: String(atMs / SECOND_MS) });
  const answer = await fetch(`${url}/api/v1/query?${parameters}`, { signal: AbortSignal.timeout(WITHIN_MS) });
  const { data } = (await answer.json()) as { data: { result: { value: [number, string] }[] } };
  return data.result[0]?.value[1];
}

serverContract({
  part: 'prometheus',
  start: startPrometheus,
  address: ({ url }) => url,
  ask: ({ url }) => query(url, 'sum(vector(42))'),
  answer: '42',
});

const HOUR_MS = 3_600_000;
const pastMs = Math.floor((Date.now() - 24 * HOUR_MS) / SECOND_MS) * SECOND_MS;
let target: Server;
let prometheus: Prometheus;
beforeAll(async () => {
  target = createServer((_, response) => response.end('arrivals_total 7\n')).listen(0, '127.0.0.1');
  await once(target, 'listening');
  const { port } = target.address() as AddressInfo;
  prometheus = await startPrometheus({
    config: {
      global: { scrape_interval: '200ms', scrape_timeout: '200ms' },
      scrape_configs: [{ job_name: 'web', static_configs: [{ targets: [`127.0.0.1:${port}`] }] }],
    },
    flags: ['--web.enable-remote-write-receiver'],
    history: `# TYPE depth gauge\ndepth{queue="web"} 3 ${pastMs / SECOND_MS}\n# EOF\n`,
  });
});
afterAll(async () => {
  await prometheus?.stop();
  target.close();
});

test('what its configuration names is scraped', async () => {
  const deadlineMs = performance.now() + WITHIN_MS;
  let found: string | undefined;
  while (found === undefined && performance.now() < deadlineMs)
    found = await query(prometheus.url, 'arrivals_total{job="web"}');
  expect(found).toBe('7');
});

test('history is there from the start', async () => {
  expect(await query(prometheus.url, 'depth{queue="web"}', pastMs)).toBe('3');
  expect(await query(prometheus.url, 'depth')).toBeUndefined();
});

test('flags reach it: it takes remote writes', async () => {
  const answer = await fetch(`${prometheus.url}/api/v1/write`, { method: 'POST', body: 'not snappy' });
  expect(answer.status).toBe(400); // 404 without the flag
});
