import { describe, expect, test } from '@jest/globals';
import { fleetContract } from '../fleet.contract.js';
import type { FleetObserver } from '../fleet.js';
import { SimulatedFleet } from './simulated-fleet.js';

const STEP_MS = 10;
const MAX_STEPS = 100_000;
const SILENT: FleetObserver = {
  started: () => undefined,
  ready: () => undefined,
  crashed: () => undefined,
  stopped: () => undefined,
  eventsDropped: () => undefined,
};

const open = (observer: FleetObserver, startMs: () => number) =>
  new SimulatedFleet({ pools: { demo: { slots: 2, startMs, drainS: 1, expectedLeadTimeS: 7 } }, observer });

fleetContract('simulated', (observer) => {
  const alive = new Set<string>();
  const fleet = open(
    {
      ...observer,
      started: (worker) => {
        alive.add(worker.workerId);
        observer.started(worker);
      },
      crashed: (worker) => {
        alive.delete(worker.workerId);
        observer.crashed(worker);
      },
      stopped: (worker) => {
        alive.delete(worker.workerId);
        observer.stopped(worker);
      },
    },
    () => 300,
  );
  return {
    fleet,
    startDelayMs: 300,
    until: async (condition) => {
      for (let step = 0; step < MAX_STEPS; step += 1) {
        if (condition()) return;
        fleet.advance(STEP_MS);
        // What the fleet promised is told to whoever waits for it.
        await Promise.resolve();
      }
      throw new Error('the condition must hold some day, it never did');
    },
    crash: (workerId) => fleet.crash(workerId),
    serve: async (workerId, durationMs) => ({ outcome: fleet.serve(workerId, durationMs) }),
    alive: () => alive.size,
  };
});

describe('a day of a simulated fleet', () => {
  test('the lead time is the start that nine of ten do not exceed, of the last fifty', async () => {
    let startMs = 1000;
    const fleet = open(SILENT, () => (startMs += 1000));
    await fleet.scale({ pool: 'demo', desired: 10 });
    fleet.advance(20_000);
    // Starts took 2, 3 … 11 s; the ninth of them is 10.
    expect((await fleet.observe('demo')).leadTimeS).toBe(10);
    startMs = 0;
    for (let order = 0; order < 60; order += 1) {
      await fleet.scale({ pool: 'demo', desired: 0 });
      fleet.advance(0);
      startMs = 0;
      await fleet.scale({ pool: 'demo', desired: 1 });
      fleet.advance(1000);
    }
    expect((await fleet.observe('demo')).leadTimeS).toBe(1);
  });

  test('the pause before a restart has a bound, and a sound worker starts a new series', async () => {
    const pausesMs: number[] = [];
    let latest = '';
    const fleet = open(
      {
        ...SILENT,
        crashed: ({ restartInMs }) => pausesMs.push(restartInMs),
        ready: ({ workerId }) => (latest = workerId),
      },
      () => 0,
    );
    await fleet.scale({ pool: 'demo', desired: 1 });
    for (let crash = 0; crash < 9; crash += 1) {
      fleet.advance(30_000);
      fleet.crash(latest);
    }
    expect(pausesMs).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    // 30 s of the pause, then a minute of being ready.
    fleet.advance(90_000);
    fleet.crash(latest);
    expect(pausesMs.at(-1)).toBe(250);
  });

  test('a start that never ends is a crash; a worker that is gone cannot be asked', async () => {
    const reasons: string[] = [];
    const fleet = open({ ...SILENT, crashed: ({ reason }) => reasons.push(reason) }, () => 1e9);
    await fleet.scale({ pool: 'demo', desired: 1 });
    fleet.advance(3_600_000);
    expect(reasons).toEqual(['must be ready within 3600000 ms']);
    expect(() => fleet.crash('demo-1')).toThrow('worker must be alive, got demo-1');
  });

  test('the same orders give the same day', async () => {
    const day = async () => {
      const told: string[] = [];
      const fleet = open(SILENT, () => 700);
      fleet.watch(({ members }) => void told.push(JSON.stringify(members)));
      for (const desired of [1, 5, 3, 0, 2]) {
        await fleet.scale({ pool: 'demo', desired });
        fleet.advance(500);
      }
      return told;
    };
    expect(await day()).toEqual(await day());
  });
});
