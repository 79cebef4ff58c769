import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  TopicMismatch,
  type EventLog,
  type Member,
  type NewRecord,
  type RecordBatch,
  type StoredRecord,
  type Subscription,
  type TopicPartition,
} from './event-log.js';

/** Opens the same log again, as a new process would after a kill. */
export interface LogUnderTest {
  open(): Promise<EventLog>;
  /** What a handler has before it is taken to hang. */
  maxBatchMs: number;
  /**
   * Ends the log as the death of its process does: what it has asked for may be done and is not answered, it asks for
   * nothing more, and its members leave without a word.
   */
  kill(log: EventLog): Promise<void>;
  /** Makes a topic as others do, by its own name, with these values in its last partition. */
  othersWrite(log: EventLog, topic: OthersTopic): Promise<void>;
}

export interface OthersTopic {
  name: string;
  partitions: number;
  values: string[];
}

const IN = 'in.v1';
const OUT = 'out.v1';
const PARTITIONS = 4;
const POLL_MS = 5;

/** What every event log must do; run on each implementation, real ones included. */
export function eventLogContract(
  name: string,
  start: () => Promise<LogUnderTest>,
  {
    commits = true,
  }: {
    /** False: groups that commit are refused, and what they need is not asked for. */ commits?: boolean;
  } = {},
): void {
  const testOfCommits = commits ? test : () => undefined;
  describe(`event log contract: ${name}`, () => {
    const collector = (extra: Partial<Subscription> = {}) => collectorOf(commits, extra);
    let subject: LogUnderTest;
    let log: EventLog;

    const reopen = async () => {
      log = await subject.open();
      await log.ensureTopics([
        { name: IN, partitions: PARTITIONS, retentionMs: 3_600_000, compacted: false },
        { name: OUT, partitions: PARTITIONS, retentionMs: 3_600_000, compacted: false },
      ]);
    };
    beforeEach(async () => {
      subject = await start();
      await reopen();
    });
    afterEach(() => log.close());

    test('records of a key keep their order, their headers and consecutive offsets', async () => {
      await log.append(IN, [
        { key: 'a', value: '1', headers: { traceparent: 'x' } },
        { key: 'a', value: '2' },
      ]);
      await log.append(IN, [{ key: 'a', value: '3' }]);
      const all = await readAll(log, IN);
      expect(all.map(({ value }) => value)).toEqual(['1', '2', '3']);
      expect(all.map(({ offset }) => offset)).toEqual([0, 1, 2]);
      expect(all[0]?.headers).toEqual({ traceparent: 'x' });
    });

    test('it says beforehand where the records of a key will be', async () => {
      for (const key of ['a', 'b', 'c', 'd']) {
        await log.append(IN, [{ key, value: key }]);
        const partition = log.partitionOf({ topic: IN, key });
        const there = await log.read({ topic: IN, partition, offset: 0, maxRecords: 9 });
        expect(there.map((record) => record.key)).toContain(key);
      }
    });

    test('a partition can be chosen; a null value is kept as a tombstone', async () => {
      await log.append(IN, [{ key: 'a', value: null, partition: 3 }]);
      expect(await log.read({ topic: IN, partition: 3, offset: 0, maxRecords: 9 })).toMatchObject([
        { key: 'a', value: null },
      ]);
    });

    test('unknown topics, unknown partitions and a changed partition count are refused', async () => {
      await expect(log.append('nowhere', [{ key: 'a', value: '1' }])).rejects.toThrow(/nowhere/);
      await expect(log.append(IN, [{ key: 'a', value: '1', partition: 99 }])).rejects.toThrow(/99/);
      const wider = { name: IN, partitions: PARTITIONS + 1, retentionMs: 1000, compacted: false };
      await expect(log.ensureTopics([wider])).rejects.toThrow(/partitions/);
    });

    test('it has a name that it keeps, and no other log has', async () => {
      const name = await log.identity();
      expect(name).toMatch(/^[a-z]+\/[\w-]+/);
      await log.close();
      await reopen();
      expect(await log.identity()).toBe(name);
      await log.close();
      subject = await start();
      await reopen();
      expect(await log.identity()).not.toBe(name);
    });

    test('topics of others are found by their own names, and only read', async () => {
      const name = 'theirs.v1';
      await expect(log.findTopics([name])).rejects.toThrow(TopicMismatch);
      await expect(log.findTopics([name])).rejects.toThrow(`event log topic ${name}: must exist`);
      await subject.othersWrite(log, { name, partitions: 3, values: ['1', '2'] });
      await log.findTopics([name]);
      expect(log.partitions(name)).toBe(3);
      const there = await log.read({ topic: name, partition: 2, offset: 0, maxRecords: 9 });
      expect(there.map(({ value }) => value)).toEqual(['1', '2']);
      await log.append(IN, [{ key: 'a', value: '3' }]);
      expect((await readAll(log, IN)).map(({ value }) => value)).toEqual(['3']);
    });

    testOfCommits('what is made of a topic of others commits with its offsets', async () => {
      const name = 'theirs.v1';
      await subject.othersWrite(log, { name, partitions: 3, values: ['1', '2'] });
      await log.findTopics([name]);
      const done = Promise.withResolvers<RecordBatch>();
      const onBatch = async (batch: RecordBatch, member: Member) => {
        const { topic, partition, from, records } = batch;
        const outputs = [{ topic: OUT, records: records.map(({ key, value }) => ({ key, value })) }];
        await member.commit({ outputs, offsets: [{ topic, partition, offset: from + records.length }] });
        if (from + records.length === 2) done.resolve(batch);
      };
      // A group that is called like the topic is a group of ours all the same.
      await log.subscribe({ group: name, topics: [name], commits: true, onBatch });
      expect(await done.promise).toMatchObject({ topic: name, partition: 2 });
      await until(async () => (await readAll(log, OUT)).length === 2);
      expect(await log.lag({ group: name, topic: name })).toEqual({ records: 0, ageMs: 0 });
    });

    testOfCommits(
      'a new group begins with what was appended since a time, and then goes on there',
      async () => {
        await log.append(IN, numbered(0, 3, 0));
        const [first] = await log.read({ topic: IN, partition: 0, offset: 0, maxRecords: 1 });
        const newFromMs = (first as StoredRecord).timestampMs + 1;
        await until(() => Date.now() > newFromMs);
        await log.append(IN, numbered(3, 6, 0));
        const reader = collector({ newFromMs });
        const member = await log.subscribe(reader.subscription('g'));
        await reader.received(3);
        expect(reader.values()).toEqual(numbers(3, 6));
        await member.leave();
        // It has committed nothing but where it began, also where there was nothing yet.
        await log.append(IN, numbered(6, 7, 1));
        const next = collector({ newFromMs: Date.now() + 3_600_000 });
        await log.subscribe(next.subscription('g'));
        await next.received(4);
        expect(next.values()).toEqual(numbers(3, 7));
      },
    );

    testOfCommits('what was acknowledged is there after a kill, and so are committed offsets', async () => {
      await log.append(IN, numbered(0, 50));
      const reader = collector();
      const member = await log.subscribe(reader.subscription('g'));
      await reader.received(50);
      for (const at of member.assignment()) {
        await member.commit({ outputs: [], offsets: [{ ...at, offset: await log.endOffset(at) }] });
      }
      await log.append(IN, numbered(50, 60));
      await subject.kill(log);
      await reopen();
      const again = collector();
      await log.subscribe(again.subscription('g'));
      await again.received(10);
      expect(again.values()).toEqual(numbers(50, 60));
      expect(await readAll(log, IN)).toHaveLength(60);
    });

    testOfCommits(
      'a kill takes the members with it, and what was not acknowledged is there whole or not at all',
      async () => {
        const dead = collector();
        await log.subscribe(dead.subscription('g'));
        const acknowledged = new Set<number>();
        const appends = Array.from({ length: 30 }, async (_, i) => {
          await log.append(IN, [
            { key: 'k', value: `${i}.1` },
            { key: 'k', value: `${i}.2` },
          ]);
          acknowledged.add(i);
        });
        await Promise.race(appends);
        await subject.kill(log);
        for (const append of appends) void append.catch(() => undefined); // nobody is there to be told
        const known = new Set(acknowledged);
        await reopen();
        const heir = collector();
        const member = await log.subscribe(heir.subscription('g'));
        await until(() => member.assignment().length === PARTITIONS);
        const there = new Set((await readAll(log, IN)).map(({ value }) => value));
        for (let i = 0; i < appends.length; i++) {
          const [first, second] = [there.has(`${i}.1`), there.has(`${i}.2`)];
          expect({ i, first, second }).toEqual({ i, first: known.has(i) || first, second: first });
        }
        expect(known.size).toBeGreaterThan(0);
        await heir.received(there.size);
      },
    );

    testOfCommits('output and offsets are one step: both are visible after it', async () => {
      await log.append(IN, [{ key: 'a', value: '1', partition: 0 }]);
      const reader = collector();
      const member = await log.subscribe(reader.subscription('g'));
      await reader.received(1);
      const offsets = [{ topic: IN, partition: 0, offset: 1 }];
      const outputs = [{ topic: OUT, records: [{ key: 'k', value: 'out' }] }];
      expect(await member.commit({ outputs, offsets })).toBe('committed');
      await until(async () => (await readAll(log, OUT)).length === 1);
      await until(async () => (await log.lag({ group: 'g', topic: IN })).records === 0);
      expect(await log.lag({ group: 'g', topic: IN })).toEqual({ records: 0, ageMs: 0 });
      expect(await readAll(log, OUT)).toMatchObject([{ value: 'out' }]);
    });

    testOfCommits('a group that did not say that it commits cannot, and fences nobody', async () => {
      await log.append(IN, [{ key: 'a', value: '1', partition: 0 }]);
      const reader = collector({ commits: false });
      const member = await log.subscribe(reader.subscription('g'));
      await reader.received(1);
      const outputs = [{ topic: OUT, records: [{ key: 'k', value: 'out' }] }];
      await expect(
        member.commit({ outputs, offsets: [{ topic: IN, partition: 0, offset: 1 }] }),
      ).rejects.toThrow(/group g: a group that commits must say so/);
      expect(await readAll(log, OUT)).toEqual([]);
    });

    if (!commits) {
      test('a group that commits is refused, and what this log cannot do is said', async () => {
        const reader = collector({ commits: true });
        await expect(log.subscribe(reader.subscription('g'))).rejects.toThrow(
          /group g, which commits, must be done by/,
        );
      });
    }

    test('what a member has at hand, and what it has not been handed yet, is behind it', async () => {
      const handled = Promise.withResolvers<void>();
      const seen = Promise.withResolvers<void>();
      const member = await log.subscribe({
        group: 'g',
        topics: [IN],
        commits,
        maxBatchRecords: 2,
        onBatch: async () => {
          seen.resolve();
          await handled.promise;
        },
      });
      await log.append(IN, numbered(0, 5, 0));
      await seen.promise;
      const behind = () => {
        const { offset = 0, endOffset = 0 } =
          member.positions().find(({ partition }) => partition === 0) ?? {};
        return endOffset - offset;
      };
      await until(() => behind() === 5);
      handled.resolve();
      await until(() => behind() === 0);
      expect(member.positions()).toHaveLength(PARTITIONS);
    });

    test('a member says where it stands and where the end is, of each of its partitions', async () => {
      await log.append(IN, numbered(0, 3, 1));
      const reader = collector();
      const member = await log.subscribe(reader.subscription('g'));
      await reader.received(3);
      const at = () => member.positions().find(({ partition }) => partition === 1);
      await until(() => at()?.offset === 3);
      expect(at()).toEqual({ topic: IN, partition: 1, offset: 3, endOffset: 3 });
      expect(member.positions()).toHaveLength(PARTITIONS);
    });

    testOfCommits('an output that cannot be written takes the offsets with it', async () => {
      await log.append(IN, [{ key: 'a', value: '1', partition: 0 }]);
      const reader = collector();
      const member = await log.subscribe(reader.subscription('g'));
      await reader.received(1);
      const outputs = [
        { topic: OUT, records: [{ key: 'k', value: 'fine' }] },
        { topic: 'nowhere', records: [{ key: 'k', value: 'lost' }] },
      ];
      await expect(
        member.commit({ outputs, offsets: [{ topic: IN, partition: 0, offset: 1 }] }),
      ).rejects.toThrow(/nowhere/);
      expect(await log.lag({ group: 'g', topic: IN })).toMatchObject({ records: 1 });
      expect(await readAll(log, OUT)).toEqual([]);
    });

    test('a group without commits reads from the beginning; onAssigned may say otherwise', async () => {
      await log.append(IN, numbered(0, 20));
      const all = collector();
      await log.subscribe(all.subscription('g1'));
      await all.received(20);
      const own = collector({
        onAssigned: async (partitions) => {
          return Promise.all(partitions.map(async (at) => ({ ...at, offset: await log.endOffset(at) })));
        },
      });
      await log.subscribe(own.subscription('g2'));
      await log.append(IN, numbered(20, 25));
      await own.received(5);
      expect(own.values()).toEqual(numbers(20, 25));
    });

    test('members share the partitions; one that leaves hands its share over', async () => {
      const a = collector();
      const b = collector();
      const first = await log.subscribe(a.subscription('g'));
      expect(first.assignment()).toHaveLength(PARTITIONS);
      const second = await log.subscribe(b.subscription('g'));
      await until(() => first.assignment().length === PARTITIONS / 2);
      expect(second.assignment()).toHaveLength(PARTITIONS / 2);
      expect(a.revoked).toHaveLength(PARTITIONS / 2);
      await log.append(IN, numbered(0, 40));
      await Promise.all([a.received(1), b.received(1)]);
      await first.leave();
      await until(() => second.assignment().length === PARTITIONS);
      await b.received(40 /* nothing was committed: b reads everything of the partitions it got */);
    });

    test('topics that are read together are assigned together: one member has all that is keyed alike', async () => {
      for (const key of ['a', 'b', 'c', 'd'])
        expect(log.partitionOf({ topic: IN, key })).toBe(log.partitionOf({ topic: OUT, key }));
      const members: Member[] = [];
      for (let joined = 0; joined < 3; joined++) {
        members.push(await log.subscribe(collector({ topics: [IN, OUT] }).subscription('g')));
        await expectTogether(members);
      }
      await members.shift()?.leave();
      await expectTogether(members);
    });

    const kinds = commits ? ['commits', 'does not commit'] : ['does not commit'];
    const waits = kinds.flatMap((kind) => ['batch', 'revocation'].map((what) => ({ kind, what })));

    test.each(kinds)(
      'a partition changes hands when its batch has ended and it was let go, in a group that %s',
      async (kind) => {
        const group = { commits: kind === 'commits' };
        const order: string[] = [];
        const [atHand, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        const loser = collector({
          ...group,
          onBatch: async () => {
            atHand.resolve();
            await mayEnd.promise;
            order.push('batch ended');
          },
          onRevoked: async () => void order.push('let go'),
        });
        await log.subscribe(loser.subscription('g'));
        await log.append(IN, numbered(0, 1, PARTITIONS - 1));
        await atHand.promise;
        const winner = collector({ ...group, onAssigned: async () => (order.push('assigned'), []) });
        const joining = log.subscribe(winner.subscription('g'));
        mayEnd.resolve();
        await joining;
        expect(order).toEqual(['batch ended', 'let go', ...Array(PARTITIONS / 2).fill('assigned')]);
      },
    );

    test.each(waits)(
      'a $what that does not end keeps others from its partition until its member is expelled, in a group that $kind',
      async ({ kind, what }) => {
        const group = { commits: kind === 'commits' };
        const order: string[] = [];
        const [atHand, hanging] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        const loser = collector({
          ...group,
          onBatch: async () => {
            atHand.resolve();
            if (what === 'batch') await hanging.promise;
          },
          onRevoked: async () => {
            if (what === 'revocation') await hanging.promise;
          },
          onFailed: ({ message }) => order.push(message),
        });
        await log.subscribe(loser.subscription('g'));
        await log.append(IN, numbered(0, 1, PARTITIONS - 1));
        await atHand.promise;
        const winner = collector({ ...group, onAssigned: async () => (order.push('assigned'), []) });
        await log.subscribe(winner.subscription('g'));
        expect(order.slice(0, 2)).toEqual([expect.stringMatching(/must end within/), 'assigned']);
        hanging.resolve();
      },
    );

    test.each(kinds)(
      'a member that fails hands its partitions over when its other batches have ended, in a group that %s',
      async (kind) => {
        const group = { commits: kind === 'commits' };
        const order: string[] = [];
        const [atHand, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        const thrown = Promise.withResolvers<void>();
        const failing = collector({
          ...group,
          onBatch: async ({ partition }) => {
            if (partition === 0) {
              await atHand.promise;
              thrown.resolve();
              throw new Error('cannot');
            }
            atHand.resolve();
            await mayEnd.promise;
            order.push('batch ended');
          },
          onFailed: () => order.push('failed'),
        });
        await log.subscribe(failing.subscription('g'));
        await log.append(IN, [...numbered(0, 1, 0), ...numbered(1, 2, 1)]);
        await thrown.promise;
        const heir = collector({ ...group, onAssigned: async () => (order.push('assigned'), []) });
        const joining = log.subscribe(heir.subscription('g'));
        await log.append(OUT, numbered(0, 1)); // by its answer a member that does not wait has failed
        mayEnd.resolve();
        await joining;
        expect(order.slice(0, 3)).toEqual(['batch ended', 'failed', 'assigned']);
        expect(failing.revoked).toEqual([]);
      },
    );

    test('a member that leaves while it restores its partitions gets no batch, and hands them on', async () => {
      await log.append(IN, numbered(0, 10));
      const restored = Promise.withResolvers<void>();
      const asked = Promise.withResolvers<Member>();
      const given: TopicPartition[] = [];
      const leaver = collector({
        onAssigned: async (partitions, member) => {
          given.push(...partitions);
          asked.resolve(member);
          await restored.promise;
          return [];
        },
      });
      const joining = log.subscribe(leaver.subscription('g'));
      const member = await asked.promise;
      const left = member.leave();
      const heir = collector();
      const inherited = log.subscribe(heir.subscription('g'));
      restored.resolve();
      await Promise.all([joining, left, inherited]);
      await heir.received(10);
      await log.append(IN, numbered(10, 20));
      await heir.received(20);
      expect(member.assignment()).toEqual([]);
      expect(leaver.values()).toEqual([]);
      // What it was told that it has, and no more.
      expect(leaver.revoked).toEqual(given);
    });

    test.each(kinds)(
      'partitions are restored one after the other, and each is read at once, in a group that %s',
      async (kind) => {
        await log.append(IN, numbered(0, 1, 0));
        const isRead = Promise.withResolvers<void>();
        const given: number[][] = [];
        const reader = collector({
          commits: kind === 'commits',
          topics: [IN, OUT],
          onAssigned: async (partitions) => {
            given.push(partitions.map(({ partition }) => partition));
            if (!partitions.some(({ partition }) => partition === 0)) await isRead.promise;
            return [];
          },
          onBatch: async () => isRead.resolve(),
        });
        await log.subscribe(reader.subscription('g'));
        expect(given.toSorted()).toEqual([
          [0, 0],
          [1, 1],
          [2, 2],
          [3, 3],
        ]);
      },
    );

    test('a restore that gets on may take longer than the time that it has; one that hangs may not', async () => {
      const failure = Promise.withResolvers<Error>();
      const told: number[] = [];
      const hanging = Promise.withResolvers<never>();
      const slow = collector({
        onAssigned: async ([at], member) => {
          told.push(at?.partition ?? -1);
          if (told.length > 1) return hanging.promise;
          for (let piece = 0; piece < 6; piece++) {
            await new Promise((resolve) => setTimeout(resolve, subject.maxBatchMs / 4));
            member.progressed();
          }
          return [];
        },
        onFailed: failure.resolve,
      });
      void log.subscribe(slow.subscription('g')).catch(failure.resolve);
      expect((await failure.promise).message).toMatch(/onAssigned must end within/);
      expect(told).toHaveLength(2);
      expect(slow.revoked).toEqual([]);
    });

    testOfCommits(
      'a member that hangs is expelled, its partitions go on, and its late commit is fenced',
      async () => {
        await log.append(IN, numbered(0, 20));
        const hanging = Promise.withResolvers<void>();
        const failure = Promise.withResolvers<Error>();
        const dead = await log.subscribe({
          group: 'g',
          topics: [IN],
          commits: true,
          onBatch: () => hanging.promise,
          onFailed: failure.resolve,
        });
        const zombieOwned = dead.assignment();
        const heir = collector();
        const joining = log.subscribe(heir.subscription('g'));
        expect((await failure.promise).message).toMatch(/must end within/);
        const member = await joining;
        await heir.received(20);
        expect(member.assignment()).toHaveLength(PARTITIONS);
        const offsets = zombieOwned.map((at) => ({ ...at, offset: 1 }));
        const outputs = [{ topic: OUT, records: [{ key: 'k', value: 'from the dead' }] }];
        expect(await dead.commit({ outputs, offsets })).toBe('fenced');
        expect(await readAll(log, OUT)).toEqual([]);
        hanging.resolve();
      },
    );

    test('a member whose batch fails leaves; the next member gets the same records', async () => {
      await log.append(IN, [{ key: 'a', value: '1' }]);
      const failure = Promise.withResolvers<Error>();
      await log.subscribe({
        group: 'g',
        topics: [IN],
        onBatch: () => Promise.reject(new Error('cannot')),
        onFailed: failure.resolve,
      });
      expect((await failure.promise).message).toBe('cannot');
      const next = collector();
      await log.subscribe(next.subscription('g'));
      await next.received(1);
    });

    test('two groups read independently; a batch is of one partition and in order', async () => {
      const a = collector();
      const b = collector();
      await log.subscribe(a.subscription('ga'));
      await log.subscribe(b.subscription('gb'));
      await log.append(IN, numbered(0, 100));
      await Promise.all([a.received(100), b.received(100)]);
      for (const batch of a.batches) {
        const offsets = batch.records.map(({ offset }) => offset);
        expect(offsets).toEqual(offsets.toSorted((x, y) => x - y));
      }
      expect(a.values()).toEqual(numbers(0, 100));
    });

    test('maxBatchRecords bounds a batch', async () => {
      await log.append(IN, numbered(0, 100, 0));
      const reader = collector();
      await log.subscribe({ ...reader.subscription('g'), maxBatchRecords: 7 });
      await reader.received(100);
      expect(Math.max(...reader.batches.map(({ records }) => records.length))).toBeLessThanOrEqual(7);
    });

    test('lag counts what a group has not committed and how old it is; offsetAtTime finds a time', async () => {
      const before = Date.now();
      await log.append(IN, numbered(0, 5, 0));
      const lag = await log.lag({ group: 'g', topic: IN });
      expect(lag.records).toBe(5);
      expect(lag.ageMs).toBeLessThanOrEqual(Date.now() - before);
      expect(await log.offsetAtTime({ topic: IN, partition: 0, timeMs: before })).toBe(0);
      expect(await log.offsetAtTime({ topic: IN, partition: 0, timeMs: Date.now() + 60_000 })).toBe(5);
    });

    describe('read without a group', () => {
      const at = { topic: IN, partition: 2 };

      test('a partition gives each record once, from its start to its end, in pieces of any size', async () => {
        expect(await log.offsetAtTime({ ...at, timeMs: 0 })).toBe(await log.endOffset(at));
        await log.append(IN, numbered(0, 30, 2));
        const [start, end] = [await log.offsetAtTime({ ...at, timeMs: 0 }), await log.endOffset(at)];
        for (const maxRecords of [1, 7, 30, 100]) {
          const values: string[] = [];
          for (let offset = start; offset < end;) {
            const piece = await log.read({ ...at, offset, maxRecords });
            expect(piece.length).toBeLessThanOrEqual(maxRecords);
            values.push(...piece.map(({ value }) => value as string));
            offset = (piece.at(-1) as StoredRecord).offset + 1;
          }
          expect(values).toEqual(numbers(0, 30));
        }
        for (const offset of [end, end + 1_000_000])
          expect(await log.read({ ...at, offset, maxRecords: 9 })).toEqual([]);
      });

      testOfCommits('what steps wrote is found at its offsets, whatever lies between them', async () => {
        await log.append(IN, [{ key: 'a', value: '1', partition: 2 }]);
        const reader = collector();
        const member = await log.subscribe(reader.subscription('g'));
        await reader.received(1);
        for (const value of numbers(0, 3)) {
          const outputs = [{ topic: OUT, records: [{ key: 'k', value, partition: 2 }] }];
          await member.commit({ outputs, offsets: [{ ...at, offset: 1 }] });
        }
        await until(async () => (await readAll(log, OUT)).length === 3);
        const out = { topic: OUT, partition: 2, maxRecords: 1 };
        let offset = await log.offsetAtTime({ ...out, timeMs: 0 });
        for (const record of await readAll(log, OUT)) {
          expect(await log.read({ ...out, offset })).toEqual([record]);
          expect(await log.read({ ...out, offset: record.offset })).toEqual([record]);
          offset = record.offset + 1;
        }
        expect(offset).toBeLessThanOrEqual(await log.endOffset(out));
        expect(await log.read({ ...out, offset })).toEqual([]);
      });
    });
  });

  async function readAll(log: EventLog, topic: string): Promise<StoredRecord[]> {
    const partitions = Array.from({ length: log.partitions(topic) }, (_, partition) => partition);
    const records = await Promise.all(
      partitions.map((partition) => log.read({ topic, partition, offset: 0, maxRecords: 1000 })),
    );
    return records.flat();
  }
}

/** Every partition has one owner, and that one has it of each topic. */
async function expectTogether(members: Member[]): Promise<void> {
  const owned = (topic: string) =>
    members.map((member) =>
      member
        .assignment()
        .filter((at) => at.topic === topic)
        .map(({ partition }) => partition)
        .toSorted(),
    );
  // Who got nothing new may learn later than who joined or left that the partitions are dealt anew.
  while (owned(IN).flat().length < PARTITIONS || owned(OUT).flat().length < PARTITIONS)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  expect(owned(OUT)).toEqual(owned(IN));
  expect(owned(IN).flat().toSorted()).toEqual(Array.from({ length: PARTITIONS }, (_, n) => n));
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i));
}

function numbered(from: number, to: number, partition?: number): NewRecord[] {
  return numbers(from, to).map((value) => ({
    key: `key-${value}`,
    value,
    ...(partition !== undefined && { partition }),
  }));
}

/** Members learn of a change of the group, and readers of a commit, each in its own time. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

/** Collects what a subscription is handed, and says when there is enough. */
function collectorOf(commits: boolean, extra: Partial<Subscription> = {}) {
  const batches: RecordBatch[] = [];
  const revoked: TopicPartition[] = [];
  let arrived = Promise.withResolvers<void>();
  const values = () => batches.flatMap(({ records }) => records.map(({ value }) => value as string));
  return {
    batches,
    revoked,
    values: () => values().toSorted((a, b) => Number(a) - Number(b)),
    async received(count: number) {
      while (values().length < count) await arrived.promise;
    },
    subscription: (group: string): Subscription => ({
      group,
      topics: [IN],
      commits,
      onRevoked: async (partitions) => void revoked.push(...partitions),
      onBatch: async (batch: RecordBatch, _member: Member) => {
        batches.push(batch);
        arrived.resolve();
        arrived = Promise.withResolvers<void>();
      },
      ...extra,
    }),
  };
}
