import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openLocalIdentity } from '#adapters/identity';
import { createLogger } from '#adapters/telemetry';
import { configSchema } from '../apps/headroom/config.js';
import { openParts, type Parts, type PartsOptions } from '../apps/headroom/parts.js';
import { startOn, type Program } from '../apps/headroom/program.js';
import { needsOf, TARGET_NAMES } from '../apps/headroom/targets.js';
import { DEMO_HANDLERS, eventually, freePorts } from './headroom-process.js';

let dataDir: string;
let parts: Parts;
let program: Program;
let options: PartsOptions;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-stop-'));
  const opened = await openLocalIdentity(dataDir, { create: true });
  if (!opened.ok) throw new Error(opened.problem);
  const [apiPort, routerPort] = await freePorts(2);
  const config = configSchema.parse({
    api: { host: '127.0.0.1', port: apiPort },
    router: { host: '127.0.0.1', port: routerPort },
    pools: {
      web: {
        bucketS: 1,
        seasonsS: [60],
        worker: { handlers: DEMO_HANDLERS },
        policy: { mode: 'reactive' },
        source: { kind: 'synthetic', seasonS: 60, peakRps: 50 },
      },
    },
  });
  const logger = createLogger({ level: 'fatal' });
  options = { config, dataDir, identity: opened.identity, logger, needs: needsOf(TARGET_NAMES) };
  parts = await openParts(options);
}, 60_000);
afterAll(() => rmSync(dataDir, { recursive: true }));

test('a stop goes backwards: loads, router, decisions, workers, then the API that took their events, log and store', async () => {
  const happened: string[] = [];
  const noting =
    <Given extends unknown[], Result>(name: string, call: (...given: Given) => Result) =>
    (...given: Given): Result => {
      happened.push(name);
      return call(...given);
    };
  const { sources, autoscaler, fleet } = parts.observers;
  sources.progress = noting('load', sources.progress);
  autoscaler.decided = noting('decision', autoscaler.decided);
  fleet.stopped = noting('worker', fleet.stopped);
  const { forRouter, closeFleet, log } = parts;
  const { store } = parts['opened'];
  if (store === undefined) throw new Error('parts: must have a store');
  Object.assign(parts, {
    forRouter: () => {
      const given = forRouter();
      const watch: typeof given.watch = (listener) => noting('router', given.watch(listener));
      return { ...given, watch };
    },
    closeFleet: async () => {
      await closeFleet();
      const { status } = await fetch(`${program.urls.api}/healthz`);
      happened.push(`api ${status}`);
    },
  });
  log.close = noting('log', log.close.bind(log));
  store.close = noting('store', store.close);

  program = await startOn(parts, {
    ...options,
    // Backwards: what comes after what is said by the targets alone.
    targets: TARGET_NAMES.toReversed(),
    version: '0',
    proofOf: () => undefined,
  });
  await eventually('load', async () => happened.includes('load') || undefined);
  await program.stop();
  const inOrderOfTheirEnds = [...new Set(happened.toReversed())].toReversed();
  expect(inOrderOfTheirEnds.filter((name) => name !== 'decision')).toEqual([
    'load',
    'router',
    'worker',
    'api 200',
    'log',
    'store',
  ]);
  expect(happened.lastIndexOf('decision')).toBeLessThan(happened.indexOf('worker'));
}, 60_000);
