import { describe, expect, test } from '@jest/globals';
import { LogOverloaded } from '../event-log.js';
import { GroupCommit } from './group-commit.js';
import type { LogEngine } from './log-tables.js';
import { Partition } from './partition.js';

test('what was handed in settles together, a step that is fenced too, and does not wait for what comes later', async () => {
  const writes = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const begun = Promise.withResolvers<void>();
  let written = 0;
  const engine: LogEngine = {
    query: () => Promise.reject(new Error('nothing is read')),
    atomic: () => {
      begun.resolve();
      return (writes[written++] ?? writes[1]).promise;
    },
  };
  const topic = { id: 1, name: 't', partitions: 1, retentionMs: 1000, compacted: false };
  const partition = new Partition(topic, 0, 0, engine);
  const commits = new GroupCommit(engine, { maxDelayMs: 1, maxDelayRecords: 1000, nowMs: () => 0 });
  const order: string[] = [];
  const handIn = async (name: string, isOwner: boolean) => {
    const records = [{ key: 'k', value: name }];
    const step = { writes: [{ partition, records, bytes: 1 }], offsets: [], stillOwner: () => isOwner };
    order.push(`${name} ${await commits.commit(step)}`);
  };
  const before = [handIn('first', true), handIn('last', false)];
  const settled = commits.settled().then(() => order.push('settled'));
  await begun.promise;
  const after = handIn('later', true);
  writes[0].resolve();
  await settled;
  expect(order).toEqual(['first committed', 'last fenced', 'settled']);
  writes[1].resolve();
  await Promise.all([...before, after]);
});

describe('bounds in bytes', () => {
  const MIB = 1024 * 1024;
  const topic = { id: 1, name: 't', partitions: 1, retentionMs: 1000, compacted: false };

  /** An engine that begins with one transaction after the other, and ends each when it is told. */
  function slowEngine() {
    const begun: { rows: number; end: () => void }[] = [];
    const engine: LogEngine = {
      query: () => Promise.reject(new Error('nothing is read')),
      atomic: (statements) => {
        const written = Promise.withResolvers<void>();
        const texts = (statements[0]?.params ?? []).filter((param) => typeof param === 'string');
        const rows = texts.reduce((sum: number, text) => sum + (JSON.parse(text) as unknown[]).length, 0);
        begun.push({ rows, end: written.resolve });
        return written.promise;
      },
    };
    const partition = new Partition(topic, 0, 0, engine);
    const commits = new GroupCommit(engine, { maxDelayMs: 1, maxDelayRecords: 1000, nowMs: () => 0 });
    const handIn = (bytes: number) => {
      const writes = [{ partition, records: [{ key: 'k', value: 'v' }], bytes }];
      return commits.commit({ writes, offsets: [], stillOwner: () => true });
    };
    const nth = async (n: number) => {
      while (begun.length < n) await new Promise((resolve) => setTimeout(resolve, 1));
      return begun[n - 1] as (typeof begun)[number];
    };
    return { handIn, nth };
  }

  test('the step that reaches the size of a transaction is its last', async () => {
    const { handIn, nth } = slowEngine();
    const steps = [5, 5, 5].map((size) => handIn(size * MIB));
    const first = await nth(1);
    expect(first.rows).toBe(2);
    first.end();
    (await nth(2)).end();
    expect(await Promise.all(steps)).toEqual(['committed', 'committed', 'committed']);
  });

  test('what is being written waits as well, until it is', async () => {
    const { handIn, nth } = slowEngine();
    const steps = [20, 20, 20].map((size) => handIn(size * MIB));
    const first = await nth(1);
    await expect(handIn(20 * MIB)).rejects.toBeInstanceOf(LogOverloaded);
    first.end();
    await steps[0];
    steps.push(handIn(20 * MIB));
    for (let n = 2; n <= 4; n++) (await nth(n)).end();
    expect(await Promise.all(steps)).toEqual(Array(4).fill('committed'));
  });
});
