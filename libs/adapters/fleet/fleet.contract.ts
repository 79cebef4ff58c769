import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Fleet, FleetObserver, Membership } from './fleet.js';

/** A fleet with one pool, `demo`, of 2 slots a worker, whose starts take at least `startDelayMs`. */
export interface FleetUnderTest {
  fleet: Fleet;
  /** Whose workers they are, when `fleet` only orders them. */
  owner?: Fleet;
  startDelayMs: number;
  /** Lets time pass until the condition holds; rejects when it never does. */
  until(condition: () => boolean): Promise<void>;
  /** kill -9. */
  crash(workerId: string): void;
  /** Gives a worker a request that takes `durationMs`. Resolves when the worker has it; `outcome` when it has ended. */
  serve(workerId: string, durationMs: number): Promise<{ outcome: Promise<'finished' | 'lost'> }>;
  /** How many workers exist outside the fleet's books: processes, or simulated ones. */
  alive(): number;
  /** Whatever else was opened. */
  end?(): Promise<void>;
}

interface Log {
  started: string[];
  ready: { workerId: string; leadTimeS: number }[];
  crashed: { workerId: string; restartInMs: number }[];
  stopped: { workerId: string; killed: boolean }[];
}

const POOL = 'demo';

/** What every fleet must do; run on real processes and on simulated ones. */
export function fleetContract(
  name: string,
  open: (observer: FleetObserver) => FleetUnderTest | Promise<FleetUnderTest>,
): void {
  describe(`fleet contract: ${name}`, () => {
    let log: Log;
    let subject: FleetUnderTest;
    let fleet: Fleet;
    /** Everything that watchers were told, newest last. */
    let told: Membership[];

    beforeEach(async () => {
      log = { started: [], ready: [], crashed: [], stopped: [] };
      told = [];
      subject = await open({
        started: ({ workerId }) => log.started.push(workerId),
        ready: (worker) => log.ready.push(worker),
        crashed: (worker) => log.crashed.push(worker),
        stopped: (worker) => log.stopped.push(worker),
        eventsDropped: () => undefined,
      });
      fleet = subject.fleet;
      fleet.watch((membership) => void told.push(membership));
    });
    afterEach(async () => {
      await closed(fleet);
      if (subject.owner !== undefined) await closed(subject.owner);
      expect(subject.alive()).toBe(0);
      await subject.end?.();
    });

    /** Time must pass while a fleet closes. */
    const closed = async (closing: Fleet) => {
      let done = false;
      const end = closing.close().then(() => (done = true));
      await subject.until(() => done);
      await end;
    };
    const statesOf = (membership: Membership | undefined) =>
      (membership?.members ?? []).map(({ workerId, state }) => `${workerId} ${state}`).sort();
    /** What a watcher is told may be on its way. */
    const expectStates = async (...states: string[]) => {
      const isSo = () => JSON.stringify(statesOf(told.at(-1))) === JSON.stringify(states);
      await subject.until(isSo).catch(() => expect(statesOf(told.at(-1))).toEqual(states));
    };
    const expectTold = async (...states: string[]) => {
      const wasSo = () => told.some((one) => JSON.stringify(statesOf(one)) === JSON.stringify(states));
      await subject.until(wasSo).catch(() => expect(told.map(statesOf)).toContainEqual(states));
    };
    const scale = (desired: number) => fleet.scale({ pool: POOL, desired });
    const observe = () => fleet.observe(POOL);
    const counts = async () => {
      const { ready, starting, draining, desired, ordered } = await observe();
      expect(ordered).toBe(true);
      return { ready, starting, draining, desired };
    };
    const ready = (count: number) => subject.until(() => log.ready.length >= count);

    test('an order is taken at once and filled later; the same order again changes nothing', async () => {
      expect(await observe()).toEqual({
        ready: 0,
        starting: 0,
        draining: 0,
        desired: 0,
        ordered: false,
        maxWorkers: expect.any(Number),
        slotsPerWorker: 2,
        leadTimeS: 7,
        crashes: 0,
      });
      await scale(2);
      await scale(2);
      expect(await counts()).toEqual({ ready: 0, starting: 2, draining: 0, desired: 2 });
      await ready(2);
      await scale(2);
      expect(await counts()).toEqual({ ready: 2, starting: 0, draining: 0, desired: 2 });
      expect(log.started).toEqual(['demo-1', 'demo-2']);
      await expectStates('demo-1 ready', 'demo-2 ready');
      expect(told.at(-1)?.members).toMatchObject([
        { url: expect.stringMatching(/^http:/), slots: 2, state: 'ready' },
        { state: 'ready' },
      ]);
    });

    test('the lead time counts from the order, start delay included', async () => {
      await scale(1);
      await ready(1);
      const { leadTimeS } = await observe();
      expect(leadTimeS).toBe(log.ready[0]?.leadTimeS);
      expect(leadTimeS).toBeGreaterThanOrEqual(subject.startDelayMs / 1000);
    });

    test('scale-in takes those that still start, then the newest; a late watcher is told who is there', async () => {
      await scale(2);
      await ready(2);
      await scale(3);
      await scale(1);
      // Which of the two got ready first is chance; which is the newest is not.
      await expectTold('demo-1 ready', 'demo-2 draining');
      await subject.until(() => log.stopped.length === 2);
      expect(log.stopped.map(({ workerId }) => workerId).sort()).toEqual(['demo-2', 'demo-3']);
      await expectStates('demo-1 ready');
      const late: Membership[] = [];
      fleet.watch((membership) => void late.push(membership))();
      expect(late).toEqual([told.at(-1)]);
    });

    test('scale to zero while all still start, and out again', async () => {
      await scale(2);
      await scale(0);
      expect((await counts()).draining).toBe(2);
      await scale(1);
      await ready(1);
      await subject.until(() => log.stopped.length === 2);
      expect(await counts()).toEqual({ ready: 1, starting: 0, draining: 0, desired: 1 });
      expect(log.ready.map(({ workerId }) => workerId)).toEqual(['demo-3']);
      expect(log.crashed).toEqual([]);
    });

    test('a draining worker finishes what it has', async () => {
      await scale(1);
      await ready(1);
      const { outcome } = await subject.serve('demo-1', 200);
      await scale(0);
      await expectStates('demo-1 draining');
      await subject.until(() => log.stopped.length === 1);
      expect(await outcome).toBe('finished');
      expect(log.stopped).toMatchObject([{ workerId: 'demo-1', killed: false }]);
    });

    test('a draining worker that does not end in time is killed', async () => {
      await scale(1);
      await ready(1);
      const { outcome } = await subject.serve('demo-1', 1e6);
      await scale(0);
      await subject.until(() => log.stopped.length === 1);
      expect(await outcome).toBe('lost');
      await expectStates();
    });

    test('a crashed worker is replaced after a pause that doubles, and its loss is told', async () => {
      await scale(2);
      await ready(2);
      subject.crash('demo-1');
      await subject.until(() => log.crashed.length === 1);
      await expectStates('demo-2 ready');
      expect(await counts()).toEqual({ ready: 1, starting: 1, draining: 0, desired: 2 });
      await ready(3);
      subject.crash('demo-3');
      await subject.until(() => log.crashed.length === 2);
      expect(log.crashed).toMatchObject([
        { workerId: 'demo-1', restartInMs: 250 },
        { workerId: 'demo-3', restartInMs: 500 },
      ]);
      expect(await observe()).toMatchObject({ crashes: 2, starting: 1 });
      // An order that needs fewer ends the pause; nobody comes back.
      await scale(1);
      expect(await counts()).toEqual({ ready: 1, starting: 0, draining: 0, desired: 1 });
    });

    test('orders that make no sense are refused', async () => {
      await expect(scale(-1)).rejects.toThrow('must be an integer ≥ 0, got -1');
      await expect(scale(NaN)).rejects.toThrow('got NaN');
      await expect(fleet.scale({ pool: 'none', desired: 1 })).rejects.toThrow(
        'must be one of demo, got none',
      );
      await expect(fleet.observe('none')).rejects.toThrow('got none');
    });

    test('a worker is told to leave when the watchers are done, or have had time enough', async () => {
      await scale(2);
      await ready(2);
      const acted = Promise.withResolvers<void>();
      let draining = false;
      fleet.watch(({ members }) => {
        if (!members.some(({ state }) => state === 'draining')) return undefined;
        draining = true;
        return acted.promise;
      });
      await scale(1);
      await subject.until(() => draining);
      expect(log.stopped).toEqual([]);
      acted.resolve();
      await subject.until(() => log.stopped.length === 1);
      fleet.watch(({ members }) => (members.length > 0 ? new Promise(() => {}) : undefined));
      await scale(0);
      await subject.until(() => log.stopped.length === 2);
      expect(log.stopped.map(({ killed }) => killed)).toEqual([false, false]);
    });

    test('the close of who owns the workers drains all, whatever they are doing; it takes no more orders', async () => {
      await scale(1);
      await ready(1);
      await scale(3);
      const { outcome } = await subject.serve('demo-1', 100);
      await closed(subject.owner ?? fleet);
      expect(await outcome).toBe('finished');
      expect(subject.alive()).toBe(0);
      await expect(scale(1)).rejects.toThrow('closed');
      await expectStates();
    });
  });
}
