import { expect, test } from '@jest/globals';
import { createLogger, createMetrics } from '#adapters/telemetry';
import { decide, policySchema, type DecisionInput, type FleetView } from '#domain/scaling';
import { observersOf } from './observers.js';
import { StatusLines } from './status-lines.js';

const policy = policySchema.parse({});
const FLEET: FleetView = {
  ready: 1,
  starting: 0,
  draining: 0,
  desired: 1,
  slotsPerWorker: 2,
  leadTimeS: 1,
};

test('of what a log has lost every record is counted', async () => {
  const metrics = createMetrics();
  const logger = createLogger({ level: 'fatal' });
  const { logServer } = observersOf({ metrics, logger, status: new StatusLines() });
  const at = { group: 'ingest', topic: 'executions.v1', partition: 2 };
  logServer.recordsLost({ ...at, from: 10, to: 17 });
  logServer.recordsLost({ ...at, from: 20, to: 21 });
  expect((await metrics.lostRecords.get()).values).toMatchObject([{ labels: at, value: 8 }]);
});

test('each bucket that a source was asked for is told or unknown', async () => {
  const metrics = createMetrics();
  const logger = createLogger({ level: 'fatal' });
  const { ingest } = observersOf({ metrics, logger, status: new StatusLines() });
  ingest.sampled({ source: 'prom', asked: 500, told: 300 });
  expect((await metrics.demandSamples.get()).values).toMatchObject([
    { labels: { source: 'prom', outcome: 'told' }, value: 300 },
    { labels: { source: 'prom', outcome: 'unknown' }, value: 200 },
  ]);
});

test('metrics show the levels of each pool’s latest decision, and those of a pool that comes back', async () => {
  const metrics = createMetrics();
  const logger = createLogger({ level: 'fatal' });
  const { autoscaler } = observersOf({ metrics, logger, status: new StatusLines() });
  const decided = (fleet: FleetView | undefined) => {
    const nothing = { demand: undefined, forecast: undefined };
    const about = {
      nowMs: 1_800_000_000_000,
      pool: 'web',
      bucketS: 1,
      seasonS: 60,
      policy,
      policyVersion: 1,
    };
    const input: DecisionInput = { ...about, ...nothing, fleet };
    autoscaler.decided({ decision: decide(input, undefined).decision, input });
  };
  const shown = async () => {
    const { values } = await metrics.workers.get();
    return Object.fromEntries(values.map(({ labels, value }) => [labels.state, value]));
  };
  decided(undefined);
  expect(await shown()).toEqual({ desired: 1 });
  decided(FLEET);
  decided(FLEET);
  expect(await shown()).toEqual({ desired: 1, ready: 1, starting: 0, draining: 0 });
  decided({ ...FLEET, ready: 0, draining: 1 });
  expect(await shown()).toEqual({ desired: 1, ready: 0, starting: 0, draining: 1 });
  const [reachable] = (await metrics.objectiveReachable.get()).values;
  expect(reachable).toMatchObject({ labels: { pool: 'web' }, value: 1 });

  autoscaler.forgotten('web');
  while (Object.keys(await shown()).length > 0) await new Promise((resolve) => setImmediate(resolve));
  decided({ ...FLEET, ready: 0, draining: 1 });
  expect(await shown()).toEqual({ desired: 1, ready: 0, starting: 0, draining: 1 });
  const counted = (await metrics.decisions.get()).values.reduce((sum, { value }) => sum + value, 0);
  expect(counted).toBe(1);
});
