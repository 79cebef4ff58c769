import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { FleetObserver } from '../fleet.js';
import { SimulatedFleet } from '../simulated/simulated-fleet.js';
import type { MembershipChanges } from './fleet-messages.js';
import { MAX_FOLLOWERS, ServedFleet } from './served-fleet.js';

let fleet: SimulatedFleet;
let served: ServedFleet;
let stopped: string[];

beforeEach(async () => {
  stopped = [];
  const quiet = () => undefined;
  const observer: FleetObserver = {
    started: quiet,
    ready: quiet,
    crashed: quiet,
    stopped: ({ workerId }) => stopped.push(workerId),
    eventsDropped: quiet,
  };
  const settings = { slots: 1, startMs: () => 100, drainS: 1, expectedLeadTimeS: 1 };
  fleet = new SimulatedFleet({ pools: { etl: settings, web: settings }, observer });
  served = new ServedFleet(fleet);
  await scale('web', 2);
});
afterEach(() => served.close());

async function scale(pool: string, desired: number): Promise<void> {
  await fleet.scale({ pool, desired });
  fleet.advance(100);
}
/** Time passes in steps, and what was promised is told in between. */
async function pass(ms: number): Promise<void> {
  for (let passedMs = 0; passedMs < ms; passedMs += 10) {
    fleet.advance(10);
    await Promise.resolve();
  }
}

class Follower {
  readonly id = randomUUID();
  last: MembershipChanges | undefined;
  readonly leaving = new AbortController();

  async ask(waitS = 0): Promise<MembershipChanges> {
    const after = this.last?.version ?? 0;
    const question = { follower: this.id, host: this.last?.host, after, waitS };
    const changes = await served.changes(question, this.leaving.signal);
    if (typeof changes === 'string') throw new Error(changes);
    return (this.last = changes);
  }
}
const poolsIn = ({ items }: MembershipChanges) => items.map(({ pool }) => pool).sort();

test('the first answer has every pool, the next ones what has changed', async () => {
  const follower = new Follower();
  expect(await follower.ask()).toMatchObject({ complete: true });
  expect(poolsIn(follower.last!)).toEqual(['etl', 'web']);
  expect(await follower.ask()).toMatchObject({ complete: false, items: [] });
  const news = follower.ask(20);
  await scale('etl', 1);
  expect(poolsIn(await news)).toEqual(['etl']);
});

test('who names another host, or a version that is not yet, gets everything', async () => {
  const follower = new Follower();
  await follower.ask();
  const { host, version } = follower.last!;
  for (const last of [
    { host: randomUUID(), version },
    { host, version: version + 1 },
  ]) {
    follower.last = { ...last, complete: true, items: [] };
    const changes = await follower.ask(20);
    expect(changes).toMatchObject({ complete: true, host, version });
    expect(poolsIn(changes)).toEqual(['etl', 'web']);
  }
});

test('a worker leaves when every follower acts on it', async () => {
  const [one, two] = [new Follower(), new Follower()];
  await Promise.all([one.ask(), two.ask()]);
  const heard = [one.ask(20), two.ask(20)];
  await scale('web', 1);
  await Promise.all(heard);
  await one.ask();
  await pass(500);
  expect(stopped).toEqual([]);
  await two.ask();
  await pass(20);
  expect(stopped).toEqual(['web-2']);
});

test('a follower that breaks off, or does not come back, holds nobody up for longer than it may', async () => {
  const [gone, silent] = [new Follower(), new Follower()];
  await Promise.all([gone.ask(), silent.ask()]);
  const waiting = gone.ask(20);
  gone.leaving.abort();
  await waiting;
  await scale('web', 1);
  expect(stopped).toEqual([]);
  await pass(1_020);
  expect(stopped).toEqual(['web-2']);
});

test('followers have a bound; those that follow go on', async () => {
  const followers = Array.from({ length: MAX_FOLLOWERS }, () => new Follower());
  await Promise.all(followers.map((follower) => follower.ask()));
  await expect(new Follower().ask()).rejects.toThrow('full');
  await followers[0]!.ask();
});

test('its close answers who waits', async () => {
  const follower = new Follower();
  await follower.ask();
  const waiting = follower.ask(20);
  served.close();
  await expect(waiting).rejects.toThrow('closed');
  await expect(new Follower().ask()).rejects.toThrow('closed');
});
