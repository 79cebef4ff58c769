import { beforeEach, expect, test } from '@jest/globals';
import type { NewRecord } from '#adapters/event-log';
import type { DecisionRecord } from '#adapters/store';
import { decide, policySchema } from '#domain/scaling';
import { DecisionRecording, HOLDS_PER_RUN } from './decision-recording.js';

const policy = policySchema.parse({});
let nowMs: number;
let appended: NewRecord[][];
let lost: number[];
let takes: () => Promise<void>;
const append = async (_: string, records: NewRecord[]) => {
  await takes();
  appended.push(records);
};
let recording: DecisionRecording;

beforeEach(() => {
  [nowMs, appended, lost, takes] = [1_800_000_000_000, [], [], async () => undefined];
  recording = newRecording();
});

function newRecording(maxWaitingBytes?: number): DecisionRecording {
  return new DecisionRecording({
    log: { append },
    lost: (decisions) => lost.push(decisions),
    maxWaitingBytes,
  });
}

/** Nothing is known of it, so that its decisions are all alike. */
function made(pool: string, change: Partial<DecisionRecord['decision']> = {}): DecisionRecord {
  const nothing = { demand: undefined, forecast: undefined, fleet: undefined };
  const input = { nowMs, pool, bucketS: 1, seasonS: 60, policy, policyVersion: 1, ...nothing };
  const { decision, memory } = decide(input, undefined);
  return { v: 1, decision: { ...decision, ...change }, memory, policyVersion: 1 };
}
const scaled = (pool: string, desired: number) => made(pool, { kind: 'scale', desired });

/** `pool kind count`, of all that the log took. */
const recorded = () =>
  appended.flat().map(({ key, value }) => {
    const { decision, count = 1 } = JSON.parse(value as string) as DecisionRecord;
    return `${key} ${decision.kind} ${count}`;
  });
const countOf = (pool: string) =>
  appended
    .flat()
    .filter(({ key }) => key === pool)
    .reduce((sum, { value }) => sum + ((JSON.parse(value as string) as DecisionRecord).count ?? 1), 0);

test('every decision of a few pools is a record', async () => {
  for (let run = 0; run < 3; run++) await recording.record([made('a'), made('b')]);
  expect(recorded()).toEqual(Array.from({ length: 3 }, () => ['a blind 1', 'b blind 1']).flat());
});

test('of many pools so many holds a run are recorded, those that wait the longest; each tells how many it is', async () => {
  const pools = Array.from({ length: 3 * HOLDS_PER_RUN }, (_, i) => `pool-${i}`);
  const runs = 7;
  await recording.record(pools.map((pool) => made(pool)));
  expect(recorded()).toHaveLength(pools.length);
  for (let run = 1; run < runs; run++) {
    appended.length = 0;
    nowMs += 500;
    await recording.record(pools.map((pool) => made(pool)));
    expect(recorded()).toHaveLength(HOLDS_PER_RUN);
    // The first three runs reach each pool for the first time; after that it is three runs ago.
    expect(new Set(recorded().map((text) => text.split(' ').at(-1)))).toEqual(
      new Set([`${Math.min(run, 3)}`]),
    );
    const [first] = appended.flat() as [NewRecord];
    expect((JSON.parse(first.value as string) as DecisionRecord).decision.atMs).toBe(nowMs);
  }
});

test('what says something new is recorded at once, after the holds before it', async () => {
  const others = Array.from({ length: HOLDS_PER_RUN }, (_, i) => `other-${i}`);
  const all = () => [...others.map((pool) => made(pool)), made('a')];
  await recording.record(all());
  await recording.record(all());
  appended.length = 0;
  await recording.record([scaled('a', 4)]);
  expect(recorded().slice(0, 2)).toEqual(['a blind 1', 'a scale 1']);
  await recording.record([scaled('a', 4)]);
  expect(recorded().at(-1)).toBe('a scale 1');
  const other = { ...made('a'), policyVersion: 2 };
  await recording.record([made('a')]);
  await recording.record([other]);
  expect(recorded().slice(-2)).toEqual(['a blind 1', 'a blind 1']);
});

test('a pool that is released leaves nothing unrecorded', async () => {
  const others = Array.from({ length: HOLDS_PER_RUN }, (_, i) => `other-${i}`);
  for (let run = 0; run < 3; run++) await recording.record([...others.map((pool) => made(pool)), made('a')]);
  recording.release('a');
  recording.release('unknown');
  await recording.send();
  expect(countOf('a')).toBe(3);
});

test('while the log takes nothing, equal holds are counted; what is new waits within a bound, and the oldest is lost', async () => {
  takes = () => Promise.reject(new Error('full'));
  const bytes = Buffer.byteLength(JSON.stringify(scaled('a', 1)));
  recording = newRecording(3 * bytes);
  const run = (records: DecisionRecord[]) => expect(recording.record(records)).rejects.toThrow('full');
  await run([scaled('a', 1)]);
  for (let i = 0; i < 9; i++) await run([made('b')]);
  expect(lost).toEqual([]);
  await run([scaled('a', 2)]);
  await run([scaled('a', 3)]);
  expect(lost).toEqual([1]);
  takes = async () => undefined;
  await recording.record([]);
  await recording.record([]);
  expect(recorded()).toEqual(['b blind 1', 'a scale 1', 'a scale 1', 'b blind 8']);
});

test('one append at a time, each bounded; what comes meanwhile goes with the next', async () => {
  const through = Promise.withResolvers<void>();
  takes = () => through.promise;
  const pools = Array.from({ length: 3_000 }, (_, i) => `pool-${i}`);
  const first = recording.record(pools.map((pool) => made(pool)));
  const second = recording.record([scaled('a', 2)]);
  through.resolve();
  await Promise.all([first, second]);
  expect(recorded()).toHaveLength(pools.length + 1);
  expect(recorded().at(-1)).toBe('a scale 1');
  const sizes = appended.map((piece) => piece.reduce((sum, { value }) => sum + (value as string).length, 0));
  expect(sizes.length).toBeGreaterThan(1);
  expect(Math.max(...sizes)).toBeLessThan(1024 * 1024 + 4_000);
});
