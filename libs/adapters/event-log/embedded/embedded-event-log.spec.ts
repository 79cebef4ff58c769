import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { EmbeddedPostgres } from '#adapters/store';
import { eventLogContract } from '../event-log.contract.js';
import type { EventLog } from '../event-log.js';
import { EmbeddedEventLog } from './embedded-event-log.js';
import { Compaction, COMPACTION_LAG_MS, TOMBSTONE_KEPT_MS } from './compaction.js';
import { LOG_TABLE_NAMES, type LogEngine } from './log-tables.js';
import { MAX_READ_BYTES, Partition } from './partition.js';

let engine: EmbeddedPostgres;
let dataDir: string;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'headroom-log-'));
  engine = await EmbeddedPostgres.open({ dataDir });
}, 30_000);
afterAll(async () => {
  await engine.close();
  rmSync(dataDir, { recursive: true });
});

const emptied = async () => {
  await engine.query(`drop table if exists ${LOG_TABLE_NAMES.join(', ')}`);
};

eventLogContract('embedded', async () => {
  await emptied();
  const lines = new Map<EventLog, Line>();
  const maxBatchMs = 300;
  return {
    maxBatchMs,
    open: async () => {
      const line = new Line(engine);
      const log = await EmbeddedEventLog.open(line, { maxBatchMs, housekeepingMs: 0 });
      lines.set(log, line);
      return log;
    },
    kill: async (log) => lines.get(log)?.cut(),
    // Nobody else writes here: what others would make is made by the log itself.
    othersWrite: async (log, { name, partitions, values }) => {
      await log.ensureTopics([{ name, partitions, retentionMs: 3_600_000, compacted: false }]);
      await log.append(
        name,
        values.map((value) => ({ key: '', value, partition: partitions - 1 })),
      );
    },
  };
});

/**
 * A log's way to the engine, which ends as that of a killed process does: what the engine has got it may do, nobody hears
 * of it, and nothing more reaches it. All members of a log are in its process and end with it. That the engine comes back
 * from `kill -9` as well is shown by acceptance/kill.spec.ts.
 */
class Line implements LogEngine {
  private readonly end = Promise.withResolvers<never>();
  private isCut = false;

  constructor(private readonly to: LogEngine) {
    this.end.promise.catch(() => undefined);
  }

  query(sql: string, params?: unknown[]): ReturnType<LogEngine['query']> {
    return this.isCut ? this.end.promise : Promise.race([this.to.query(sql, params), this.end.promise]);
  }

  atomic(statements: Parameters<LogEngine['atomic']>[0]): Promise<unknown> {
    return this.isCut ? this.end.promise : Promise.race([this.to.atomic(statements), this.end.promise]);
  }

  cut(): void {
    this.isCut = true;
    this.end.reject(new Error('cut'));
  }
}

describe('housekeeping of the embedded log', () => {
  let nowMs = 1_000_000;
  const open = () => EmbeddedEventLog.open(engine, { housekeepingMs: 0, nowMs: () => nowMs });
  const at = { topic: 't', partition: 0 };
  const values = async (log: EmbeddedEventLog) =>
    (await log.read({ ...at, offset: 0, maxRecords: 10_000 })).map(
      ({ offset, value }) => `${offset}:${value}`,
    );

  test('retention drops old chunks, keeps the end, and waits for a group that has not read them', async () => {
    await emptied();
    const log = await open();
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: false }]);
    await log.append('t', [{ key: 'a', value: 'old' }]);
    await log.append('t', [{ key: 'a', value: 'older than the retention, but the newest' }]);
    const seen = Promise.withResolvers<void>();
    const member = await log.subscribe({
      group: 'g',
      topics: ['t'],
      commits: true,
      onBatch: async () => seen.resolve(),
    });
    await seen.promise;
    await member.commit({ outputs: [], offsets: [{ ...at, offset: 0 }] });
    nowMs += 5000;
    await log.keepHouse();
    expect(await (await open()).offsetAtTime({ ...at, timeMs: 0 })).toBe(0);
    await member.commit({ outputs: [], offsets: [{ ...at, offset: 2 }] });
    await log.keepHouse();
    const reopened = await open();
    expect(await values(reopened)).toEqual(['1:older than the retention, but the newest']);
    expect(await reopened.endOffset(at)).toBe(2);
    await log.close();
  });

  test('a reader far behind gets the records it asked for, and no more is fetched', async () => {
    await emptied();
    const log = await open();
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: false }]);
    for (let i = 0; i < 20; i++)
      await log.append(
        't',
        [1, 2, 3].map((n) => ({ key: 'k', value: `${i}.${n}` })),
      );
    let fetched = 0;
    const counted: LogEngine = {
      atomic: (statements) => engine.atomic(statements),
      query: async (sql, params) => {
        const result = await engine.query(sql, params);
        fetched += result.rows.filter((row) => 'records' in row).length;
        return result;
      },
    };
    const reopened = await EmbeddedEventLog.open(counted, { housekeepingMs: 0 });
    const read = await reopened.read({ ...at, offset: 4, maxRecords: 5 });
    expect(read.map(({ offset }) => offset)).toEqual([4, 5, 6, 7, 8]);
    expect(fetched).toBe(2);
    await log.close();
  });

  test('a read ends with the record that reaches its size, from memory and from the table', async () => {
    await emptied();
    const log = await open();
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: false }]);
    const large = { key: 'k', value: 'x'.repeat(900_000) };
    const fits = Math.ceil(MAX_READ_BYTES / large.value.length);
    for (let i = 0; i < 12; i++) await log.append('t', [large]);
    await log.append(
      't',
      Array.from({ length: 12 }, () => large),
    );
    const read = async (offset: number) => (await log.read({ ...at, offset, maxRecords: 100 })).length;
    expect(await read(0)).toBe(fits);
    expect(await read(12)).toBe(fits);
    expect(await read(12 + 11)).toBe(1);
    await log.close();
  });

  test('the size of a record counts, in bytes, with its headers', async () => {
    await emptied();
    const log = await open();
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: false }]);
    const wide = 'ä'.repeat(600_000);
    await expect(log.append('t', [{ key: 'k', value: wide }])).rejects.toThrow(
      /at most 1048576 bytes, got 1200001/,
    );
    const headers = { a: 'x'.repeat(600_000) };
    const value = 'x'.repeat(500_000);
    await expect(log.append('t', [{ key: 'k', value, headers }])).rejects.toThrow(/at most 1048576 bytes/);
    await log.close();
  });

  test('lag reads no records, and asks the store nothing of what is in memory', async () => {
    await emptied();
    const queries: string[] = [];
    const watched: LogEngine = {
      atomic: (statements) => engine.atomic(statements),
      query: (sql, params) => {
        queries.push(sql);
        return engine.query(sql, params);
      },
    };
    const openWatched = () => EmbeddedEventLog.open(watched, { housekeepingMs: 0, nowMs: () => nowMs });
    const log = await openWatched();
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: false }]);
    const group = { group: 'g', topic: 't' };
    const startMs = nowMs;
    await log.append('t', [{ key: 'k', value: '0' }]);
    nowMs += 300;
    await log.append('t', [{ key: 'k', value: '1' }]);
    queries.length = 0;
    expect(await log.lag(group)).toEqual({ records: 2, ageMs: 300 });
    expect(queries).toEqual([]);
    const reopened = await openWatched();
    queries.length = 0;
    nowMs = startMs + 1000;
    expect(await reopened.lag(group)).toEqual({ records: 2, ageMs: 1000 });
    expect(queries).toHaveLength(1);
    expect(queries[0]).not.toMatch(/\brecords\b/);
    const member = await reopened.subscribe({
      group: 'g',
      topics: ['t'],
      commits: true,
      onBatch: async () => undefined,
    });
    await member.commit({ outputs: [], offsets: [{ ...at, offset: 1 }] });
    expect(await reopened.lag(group)).toEqual({ records: 1, ageMs: 700 });
    await member.commit({ outputs: [], offsets: [{ ...at, offset: 2 }] });
    queries.length = 0;
    expect(await reopened.lag(group)).toEqual({ records: 0, ageMs: 0 });
    expect(queries).toEqual([]);
    await reopened.close();
    await log.close();
  });

  test('a reader inside a span that compaction emptied goes on behind it', async () => {
    await emptied();
    const log = await open();
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: true }]);
    for (let i = 0; i < 70; i++) await log.append('t', [{ key: 'k', value: null }]);
    await log.append('t', [{ key: 'k', value: 'last' }]);
    nowMs += COMPACTION_LAG_MS + 1;
    await log.keepHouse();
    await engine.query(`update log_chunks set records = '[]' where base_offset = 0`);
    const reopened = await open();
    const [record] = await reopened.read({ ...at, offset: 3, maxRecords: 5 });
    expect(record).toMatchObject({ offset: 70, value: 'last' });
    await log.close();
  });

  test('compaction keeps the last value of each key at its old offset, and a tombstone for a while longer', async () => {
    await emptied();
    const log = await open();
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: true }]);
    for (let i = 0; i < 100; i++)
      await log.append('t', [{ key: `k${i % 3}`, value: i === 98 ? null : String(i) }]);
    nowMs += COMPACTION_LAG_MS + 1;
    await log.append('t', [{ key: 'new', value: 'n' }]);
    await log.keepHouse();
    const reopened = await open();
    // keys k0, k1, k2 were last written at 99, 97 and 98 (the tombstone).
    expect(await values(reopened)).toEqual(['97:97', '98:null', '99:99', '100:n']);
    expect(await reopened.endOffset(at)).toBe(101);
    // A reader may have met a value that this round removed: it is told that the key is gone.
    const busy = async () => {
      for (let i = 0; i < 70; i++) await log.append('t', [{ key: 'busy', value: String(i) }]);
      nowMs += COMPACTION_LAG_MS + 1;
      await log.append('t', [{ key: 'newest', value: 'n' }]);
      await log.keepHouse();
      return values(await open());
    };
    expect(await busy()).toContain('98:null');
    nowMs += TOMBSTONE_KEPT_MS;
    expect(await busy()).toEqual(['97:97', '99:99', '100:n', '171:n', '241:69', '242:n']);
    await log.close();
  });

  test('compaction reads and replaces a bounded part at a time', async () => {
    await emptied();
    const reads: number[] = [];
    const watched: LogEngine = {
      atomic: (statements) => engine.atomic(statements),
      query: async (sql, params) => {
        const result = await engine.query(sql, params);
        reads.push(result.rows.reduce((sum, row) => sum + String(row['records'] ?? '').length, 0));
        return result;
      },
    };
    const log = await EmbeddedEventLog.open(watched, { housekeepingMs: 0, nowMs: () => nowMs });
    await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: true }]);
    const value = 'v'.repeat(300_000);
    for (let i = 0; i < 70; i++) await log.append('t', [{ key: `k${i % 69}`, value }]);
    nowMs += COMPACTION_LAG_MS + 1;
    await log.append('t', [{ key: 'new', value: 'n' }]);
    await log.keepHouse();
    expect(Math.max(...reads)).toBeLessThanOrEqual(8 * 1024 * 1024);
    expect(reads.filter((read) => read > 0)).toHaveLength(3);
    const reopened = await open();
    const offsets: number[] = [];
    for (let offset = 0; offset <= 70;) {
      const read = await reopened.read({ ...at, offset, maxRecords: 100 });
      offsets.push(...read.map((record) => record.offset));
      offset = (read.at(-1)?.offset ?? 70) + 1;
    }
    expect(offsets).toEqual(Array.from({ length: 70 }, (_, i) => i + 1)); // 69 has the key of 0
    await log.close();
  });

  test('with more keys than it remembers at once, compaction goes on in the next round with the older ones', async () => {
    await emptied();
    const log = await open();
    const spec = { name: 't', partitions: 1, retentionMs: 1000, compacted: true };
    await log.ensureTopics([spec]);
    for (let i = 0; i < 80; i++) await log.append('t', [{ key: `k${i % 10}`, value: String(i) }]);
    nowMs += COMPACTION_LAG_MS + 1;
    await log.append('t', [{ key: 'new', value: 'n' }]);
    const { rows } = await engine.query('select id from log_topics');
    const partition = new Partition({ ...spec, id: rows[0]?.['id'] as number }, 0, 81, engine);
    const compaction = new Compaction(engine, 4);
    const left: number[] = [];
    for (let round = 0; round < 4; round++) {
      await compaction.run(partition, { nowMs });
      left.push((await values(await open())).length);
    }
    // Four keys at a time lose seven older records each, then the last two.
    expect(left).toEqual([81 - 28, 81 - 56, 81 - 70, 11]);
    const last = Array.from({ length: 10 }, (_, i) => `${70 + i}:${70 + i}`);
    expect(await values(await open())).toEqual([...last, '80:n']);
    await log.close();
  });

  test('what was deleted from any table of the engine is room again', async () => {
    await emptied();
    const log = await open();
    await engine.query('create table elsewhere (text text)');
    const sizes: unknown[] = [];
    for (let round = 0; round < 4; round++) {
      await engine.query("insert into elsewhere select repeat('x', 500) from generate_series(1, 500)");
      await engine.query('delete from elsewhere');
      await log.keepHouse();
      const { rows } = await engine.query("select pg_relation_size('elsewhere') as size");
      sizes.push(rows[0]?.['size']);
    }
    expect(new Set(sizes).size).toBe(1);
    await engine.query('drop table elsewhere');
    await log.close();
  });

  test('a failure of housekeeping is reported, and keeps nothing from being done that makes room', async () => {
    await emptied();
    const done: string[] = [];
    const failing: LogEngine = {
      atomic: (statements) => engine.atomic(statements),
      query: (sql, params) => {
        done.push(sql.trim().split(/\s/)[0] as string);
        const full = sql.includes('octet_length');
        return full ? Promise.reject(new Error('no space left')) : engine.query(sql, params);
      },
    };
    const failed = Promise.withResolvers<{ name: string; error: Error }>();
    const observer = { ran: () => undefined, failed: failed.resolve };
    const log = await EmbeddedEventLog.open(failing, { housekeepingMs: 50, observer });
    await log.ensureTopics([
      { name: 't', partitions: 1, retentionMs: 1000, compacted: true },
      { name: 'dated', partitions: 1, retentionMs: 1000, compacted: false },
    ]);
    expect(await failed.promise).toMatchObject({
      name: 'log-housekeeping',
      error: { message: 'no space left' },
    });
    expect(done).toEqual(expect.arrayContaining(['delete', 'vacuum', 'checkpoint']));
    await log.close();
  });
});

test('a member joins while others append without a pause', async () => {
  await emptied();
  const log = await EmbeddedEventLog.open(engine, { housekeepingMs: 0 });
  await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: false }]);
  const stopping = new AbortController();
  const patience = setTimeout(() => stopping.abort(), 10_000);
  const appenders = Array.from({ length: 24 }, async () => {
    while (!stopping.signal.aborted) await log.append('t', [{ key: 'k', value: 'v' }]);
  });
  const member = await log.subscribe({ group: 'g', topics: ['t'], onBatch: async () => undefined });
  const joinedMeanwhile = !stopping.signal.aborted;
  stopping.abort();
  clearTimeout(patience);
  await Promise.all(appenders);
  expect(joinedMeanwhile).toBe(true);
  expect(member.assignment()).toHaveLength(1);
  await log.close();
});

test('every commit reaches the disk before it is acknowledged', async () => {
  await emptied();
  const log = await EmbeddedEventLog.open(engine, { housekeepingMs: 0 });
  await log.ensureTopics([{ name: 't', partitions: 1, retentionMs: 1000, compacted: false }]);
  const before = await engine.syncCount();
  for (let i = 0; i < 10; i++) await log.append('t', [{ key: 'a', value: '1' }]);
  expect(await engine.syncCount()).toBeGreaterThanOrEqual(before + 10);
  await log.close();
});
