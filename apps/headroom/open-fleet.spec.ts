import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openKeyFile, openLocalIdentity, publicHalf, KEY_FILE, type Verifier } from '#adapters/identity';
import { createLogger, createMetrics } from '#adapters/telemetry';
import { configSchema } from './config.js';
import { observersOf } from './observers.js';
import { CannotSign, openFleet } from './open-fleet.js';
import { StatusLines } from './status-lines.js';

let folder: string;
let checksOnly: Verifier;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-open-fleet-'));
  await openLocalIdentity(folder, { create: true });
  const half = await publicHalf(join(folder, KEY_FILE));
  writeFileSync(join(folder, 'public.json'), JSON.stringify(half.ok && half.publicJwk));
  const opened = await openKeyFile(join(folder, 'public.json'));
  if (!opened.ok) throw new Error(opened.problem);
  checksOnly = opened.identity;
});
afterAll(() => rmSync(folder, { recursive: true }));

const observers = observersOf({
  metrics: createMetrics(),
  logger: createLogger({ level: 'fatal' }),
  status: new StatusLines(),
});
const workers = { web: { worker: { handlers: '/handlers' } } };
const open = (config: object, hostsWorkers: boolean) =>
  openFleet({ config: configSchema.parse(config), identity: checksOnly, observers, hostsWorkers });

test('who must sign and cannot says so; who need not starts', async () => {
  expect(() => open({ pools: workers }, true)).toThrow(CannotSign);
  const remote = { kind: 'remote', url: 'http://127.0.0.1:9' };
  expect(() => open({ pools: workers, fleet: remote }, false)).toThrow(
    /or fleet\.tokenFile be given, got a public/,
  );
  for (const fleet of [
    open({}, true),
    open({ pools: workers }, false),
    open({ pools: workers, fleet: { ...remote, tokenFile: join(folder, 'token') } }, false),
  ])
    await fleet.close();
});
