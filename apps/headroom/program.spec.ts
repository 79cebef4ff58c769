import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openLocalIdentity } from '#adapters/identity';
import { createLogger } from '#adapters/telemetry';
import { configSchema } from './config.js';
import { openParts, type Parts, type PartsOptions } from './parts.js';
import { startOn, type Program } from './program.js';

let dataDir: string;
let parts: Parts;
let program: Program;
let token: string;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-program-'));
  const opened = await openLocalIdentity(dataDir, { create: true });
  if (!opened.ok) throw new Error(opened.problem);
  const { identity } = opened;
  const port = await freePort();
  const config = configSchema.parse({ api: { host: '127.0.0.1', port }, pools: { web: {} } });
  const logger = createLogger({ level: 'fatal' });
  const options: PartsOptions = { config, dataDir, identity, logger };
  parts = await openParts(options);
  program = await startOn(parts, { ...options, targets: ['ingest', 'autoscaler'], version: '0' });
  const scopes = ['metrics:read', 'policies:write', 'policies:read'] as const;
  ({ token } = await identity.signToken({ scopes, lifetimeS: 60, subject: 'spec' }));
}, 30_000);
afterAll(async () => {
  await program.stop();
  rmSync(dataDir, { recursive: true });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const send = (method: string, path: string, headers: Record<string, string> = {}) =>
  fetch(`${program.urls.api}${path}`, { method, headers: { authorization: `Bearer ${token}`, ...headers } });

test('/metrics answers although the log does not; only the lag is not told', async () => {
  const lag = 'headroom_consumer_lag_seconds{group="ingest"}';
  expect(await (await send('GET', '/metrics')).text()).toContain(lag);
  const { log } = parts;
  const original = log.lag;
  log.lag = () => Promise.reject(new Error('no engine'));
  const answer = await send('GET', '/metrics');
  expect(answer.status).toBe(200);
  expect(await answer.text()).not.toContain(lag);
  log.lag = original;
});
