import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  MAX_BATCH_BYTES,
  MAX_BATCH_RECORDS,
  type RecordSource,
  type RecordSourceOptions,
  type SourceRecord,
} from './record-source.js';

/** A place in a real system for one test, with its server. */
export interface SourcePlace {
  open(options: RecordSourceOptions): RecordSource;
  /** What cannot be opened: the same source with a wrong password, which is part of this text. */
  openForbidden(options: RecordSourceOptions): { source: RecordSource; secret: string; reason: RegExp };
  /** Resolves when the system has them for good. */
  send(records: readonly object[]): Promise<void>;
  /** How many the system keeps for the next source, now that none is open: whatever was not acknowledged. */
  kept(): Promise<number>;
  /** SIGKILL to the server; its data stay. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Connections stay open and nothing answers, until resumed. */
  pause(): void;
  resume(): void;
}

const POLL_MS = 20;

/** What every source of records must do; run against the real systems. */
export function recordSourceContract(name: string, start: () => Promise<SourcePlace>): void {
  describe(`record source contract: ${name}`, () => {
    let place: SourcePlace;
    let open: RecordSource[];
    beforeEach(async () => {
      open = [];
      place = await start();
    });
    afterEach(async () => {
      await Promise.all(open.map((source) => source.close()));
    });

    /** A started source, and what becomes of its records. */
    function reader(take: (records: readonly SourceRecord[]) => Promise<void> = async () => undefined) {
      const heard = { connected: 0, taken: 0, errors: [] as string[], notTaken: 0 };
      const batches: SourceRecord[][] = [];
      const source = place.open({
        take: async (records) => {
          batches.push([...records]);
          await take(records);
        },
        observer: {
          connected: () => void heard.connected++,
          disconnected: ({ error }) => void heard.errors.push(error.message),
          taken: (records) => void (heard.taken += records),
          notTaken: () => void heard.notTaken++,
        },
      });
      open.push(source);
      source.start();
      const numbers = () => batches.flat().map(({ text }) => Number((JSON.parse(text) as { n: unknown }).n));
      return { source, heard, batches, numbers };
    }

    test('hands records over in order, whole, with what is known of them, and acknowledges them', async () => {
      const { source, heard, batches, numbers } = reader();
      await until(() => heard.connected === 1);
      await place.send([{ n: 1, text: 'Zürich "€"\n' }, ...numbered(2, 40)]);
      await until(() => heard.taken === 39);
      expect(numbers()).toEqual(Array.from({ length: 39 }, (_, i) => i + 1));
      const [first] = batches[0]!;
      expect(JSON.parse(first!.text)).toMatchObject({ text: 'Zürich "€"\n' });
      expect(first).toMatchObject({ place: expect.any(String), about: { timeMs: expect.any(Number) } });
      expect(Math.abs(Date.now() - (first!.about['timeMs'] as number))).toBeLessThan(60_000);
      await source.close();
      await until(async () => (await place.kept()) === 0);
      expect(batches.every(({ length }) => length > 0)).toBe(true);
    });

    test('what cannot be taken is handed over again, until it is', async () => {
      let failures = 3;
      const { source, heard, batches } = reader(async () => {
        if (failures-- > 0) throw new Error('the log is full');
      });
      await until(() => heard.connected === 1);
      await place.send(numbered(0, 5));
      await until(() => heard.taken === 5);
      expect(heard.notTaken).toBe(3);
      const [first] = batches;
      for (const again of batches.slice(1, 4)) expect(again).toEqual(first);
      await source.close();
      await until(async () => (await place.kept()) === 0);
    });

    test('holds no more than a batch while it cannot be taken; another source gets the rest', async () => {
      const durable = Promise.withResolvers<void>();
      const slow = reader(() => durable.promise);
      await until(() => slow.heard.connected === 1);
      const count = 3 * MAX_BATCH_RECORDS;
      await place.send(numbered(0, count));
      await until(() => slow.batches.length > 0);
      const other = reader();
      await until(() => other.heard.taken >= count - MAX_BATCH_RECORDS);
      expect(slow.heard.taken).toBe(0);
      durable.resolve();
      await until(() => slow.heard.taken + other.heard.taken >= count);
      expect(new Set([...slow.numbers(), ...other.numbers()]).size).toBe(count);
      const sizes = [...slow.batches, ...other.batches].map(({ length }) => length);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_BATCH_RECORDS);
    });

    test('of large records a batch has few, however many it had of small ones', async () => {
      const { heard, batches } = reader();
      await until(() => heard.connected === 1);
      const small = 2 * MAX_BATCH_RECORDS;
      await place.send(numbered(0, small));
      await until(() => heard.taken === small);
      expect(Math.max(...batches.map(({ length }) => length))).toBeGreaterThan(MAX_BATCH_RECORDS / 8);
      batches.length = 0;
      const text = 'x'.repeat(1024 * 1024);
      for (let n = 0; n < 60; n++) await place.send([{ n, text }]);
      await until(() => heard.taken === small + 60);
      const bytes = batches.map((batch) => batch.reduce((sum, record) => sum + record.text.length, 0));
      // The first with a large one may have been asked for before.
      expect(Math.max(...bytes.slice(1))).toBeLessThanOrEqual(MAX_BATCH_BYTES + 60 * 100);
    });

    test('two sources share what comes; each record is handed to one of them', async () => {
      const [a, b] = [reader(), reader()];
      await until(() => a.heard.connected + b.heard.connected === 2);
      const count = 2 * MAX_BATCH_RECORDS;
      for (let n = 0; n < count; n += 50) await place.send(numbered(n, n + 50));
      await until(() => a.heard.taken + b.heard.taken === count);
      expect([...a.numbers(), ...b.numbers()].toSorted((x, y) => x - y)).toEqual(
        Array.from({ length: count }, (_, n) => n),
      );
      expect(Math.min(a.heard.taken, b.heard.taken)).toBeGreaterThan(0);
    });

    test('closing lets the batch at hand be taken and acknowledged, and takes no more', async () => {
      const durable = Promise.withResolvers<void>();
      const { source, heard, batches } = reader(() => durable.promise);
      await until(() => heard.connected === 1);
      await place.send(numbered(0, 1));
      await until(() => batches.length === 1);
      const closed = source.close();
      await place.send(numbered(1, 3));
      durable.resolve();
      await closed;
      expect(batches).toHaveLength(1);
      await until(async () => (await place.kept()) === 2);
      const next = reader();
      await until(() => next.heard.taken === 2);
      expect(next.numbers()).toEqual([1, 2]);
    });

    test('nothing is acknowledged that is not taken: what a source held goes to the next one', async () => {
      const { source, heard, numbers } = reader(() => Promise.reject(new Error('never')));
      await until(() => heard.connected === 1);
      await place.send(numbered(0, 4));
      await until(() => numbers().length >= 4);
      await source.close();
      await until(async () => (await place.kept()) === 4);
      const next = reader();
      await until(() => next.heard.taken === 4);
      expect(next.numbers().toSorted()).toEqual([0, 1, 2, 3]);
    });

    test('tells how many wait', async () => {
      const durable = Promise.withResolvers<void>();
      const { source, heard } = reader(() => durable.promise);
      expect(source.waiting()).toBeUndefined();
      await until(() => heard.connected === 1);
      await until(() => source.waiting() === 0);
      await place.send(numbered(0, 7));
      durable.resolve();
      await until(() => heard.taken === 7);
      await until(() => source.waiting() === 0);
    });

    test('a server that is killed loses nothing; the source comes back by itself', async () => {
      const { source, heard, numbers } = reader();
      await until(() => heard.connected === 1);
      await place.send(numbered(0, 20));
      await until(() => heard.taken === 20);
      await place.kill();
      await until(() => heard.errors.length > 1);
      await place.restart();
      await until(() => heard.connected >= 2);
      await place.send(numbered(20, 30));
      await until(() => new Set(numbers()).size === 30);
      await source.close();
      await until(async () => (await place.kept()) === 0);
      expect(heard.notTaken).toBe(0);
    });

    test('a server that stops answering is left, and what it held comes again', async () => {
      const { heard, numbers } = reader();
      await until(() => heard.connected === 1);
      place.pause();
      await until(() => heard.errors.length > 0);
      place.resume();
      await until(() => heard.connected >= 2);
      await place.send(numbered(0, 10));
      await until(() => new Set(numbers()).size === 10);
      expect(heard.notTaken).toBe(0);
    });

    test('a server that refuses is told with its reason, without the password', async () => {
      const errors: string[] = [];
      const { source, secret, reason } = place.openForbidden({
        take: async () => undefined,
        observer: {
          connected: () => errors.push('connected'),
          disconnected: ({ error }) => errors.push(`${error.message} ${error.stack}`),
          taken: () => undefined,
          notTaken: () => undefined,
        },
      });
      open.push(source);
      source.start();
      await until(() => errors.length > 1);
      expect(errors.join()).not.toMatch(new RegExp(`connected|${secret}`));
      expect(errors[0]).toMatch(reason);
    });
  });
}

function numbered(from: number, to: number): { n: number }[] {
  return Array.from({ length: to - from }, (_, i) => ({ n: from + i }));
}

/** What is awaited is a state of the other system or of the source, which tell nobody when they reach it. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}
