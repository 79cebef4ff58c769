import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { TOPICS, topicSpecs, type EventLog, type NewRecord } from '#adapters/event-log';
import { DeadLetterReplay } from './dead-letter-replay.js';
import {
  DeadLetterTopic,
  MAX_SCANNED_LETTERS,
  placeOf,
  type LetterFilter,
  type LetterPage,
  type LetterPlace,
} from './dead-letter-topic.js';
import { deadLetterRecord, type PayloadKeeping, type StoredLetter } from './dead-letter.js';

const PARTITIONS = 2;
const keeping: PayloadKeeping = { payload: 'keep', maxPayloadBytes: 16_384 };

function letter(name: string, more: { reason?: string; source?: string } = {}): NewRecord {
  const { reason = 'invalid', source = `${TOPICS.executions}[1]@7` } = more;
  const about = { topic: TOPICS.executions, partition: 1, offset: 7, timeMs: 1 };
  return deadLetterRecord(
    { key: name, value: `{"${name}":1}`, headers: { of: name }, reason, detail: 'a rule', source, about },
    keeping,
  );
}
const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`);

/** Reading and replaying dead letters on an event log, real ones included. Each log is empty. */
export function deadLettersContract(name: string, open: () => Promise<EventLog>): void {
  describe(`dead letters contract: ${name}`, () => {
    let log: EventLog;
    let topic: DeadLetterTopic;
    const failures: Error[] = [];

    beforeEach(async () => {
      log = await open();
      await log.ensureTopics(topicSpecs({ partitions: PARTITIONS, dedupeWindowS: 300 }));
      topic = new DeadLetterTopic(log);
    });
    afterEach(() => log.close());

    const write = (...letters: NewRecord[]) => log.append(TOPICS.deadLetters, letters);
    const keysOf = (letters: StoredLetter[]) => letters.map(({ key }) => key);
    const all = async (filter: LetterFilter = {}) => (await topic.page({ filter, limit: 10_000 })).letters;

    /** As ingest writes them: in the step that has read the records. */
    async function writeInSteps(names: string[]): Promise<void> {
      const first = Promise.withResolvers<void>();
      await log.append(TOPICS.executions, [{ key: 'k', value: 'v', partition: 0 }]);
      const member = await log.subscribe({
        group: 'g',
        topics: [TOPICS.executions],
        commits: true,
        onBatch: async () => first.resolve(),
      });
      await first.promise;
      for (const each of names) {
        const outputs = [{ topic: TOPICS.deadLetters, records: [letter(each)] }];
        await member.commit({ outputs, offsets: [{ topic: TOPICS.executions, partition: 0, offset: 1 }] });
      }
      await member.leave();
      // Readers learn of a step a moment after its commit.
      while ((await all()).length < names.length);
    }

    test('every letter is on one page, newest first, and what is written meanwhile is on none', async () => {
      expect(await topic.page({ filter: {}, limit: 5 })).toEqual({ letters: [], next: undefined });
      await writeInSteps(numbered(0, 60));
      await write(...numbered(60, 70).map((each) => letter(each)));
      const seen: string[] = [];
      let before: LetterPlace | undefined;
      do {
        const page: LetterPage = await topic.page({ filter: {}, limit: 7, before });
        expect(page.letters.length).toBeLessThanOrEqual(7);
        seen.push(...keysOf(page.letters));
        before = page.next;
        await write(letter('meanwhile'));
      } while (before !== undefined);
      expect(seen).toEqual(numbered(0, 70).toReversed());
    });

    test('a filter finds reason, source and time, whole words and half-open spans', async () => {
      const [a, b, c] = ['redis jobs 1-0', 'redis jobs-2 1-0', 'executions.v1[0]@5'] as const;
      await write(letter('a', { source: a }), letter('b', { source: b }));
      await write(letter('c', { source: c, reason: 'too_old' }));
      expect(keysOf(await all({ reason: 'too_old' }))).toEqual(['c']);
      expect(keysOf(await all({ source: 'redis jobs' }))).toEqual(['a']);
      expect(keysOf(await all({ source: 'redis' }))).toEqual(['b', 'a']);
      expect(keysOf(await all({ source: 'executions.v1' }))).toEqual(['c']);
      const letters = await all();
      const { atMs } = letters[0] as StoredLetter;
      const since = letters.filter((one) => one.atMs >= atMs);
      expect(keysOf(await all({ fromMs: atMs }))).toEqual(keysOf(since));
      expect(keysOf(await all({ toMs: atMs }))).toEqual(keysOf(letters.slice(since.length)));
      expect(await all({ fromMs: atMs + 1 })).toEqual([]);
      expect(await all({ fromMs: atMs, toMs: atMs })).toEqual([]);
    });

    test('a page looks at a bounded number of letters and says where to go on', async () => {
      await write(letter('rare', { reason: 'rare' }));
      for (let from = 0; from < MAX_SCANNED_LETTERS; from += 500)
        await write(...numbered(from, from + 500).map((each) => letter(each)));
      const filter = { reason: 'rare' };
      let page = await topic.page({ filter, limit: 5 });
      expect(page).toEqual({ letters: [], next: { partition: 0, offset: expect.any(Number) } });
      while (page.letters.length === 0 && page.next !== undefined)
        page = await topic.page({ filter, limit: 5, before: page.next });
      expect(keysOf(page.letters)).toEqual(['rare']);
    });

    test('a letter is found at its place, and nothing is at any other', async () => {
      await writeInSteps(['a', 'b']);
      for (const one of await all()) expect(await topic.at(one)).toEqual(one);
      const end = await log.endOffset({ topic: TOPICS.deadLetters, partition: 0 });
      for (const place of [
        { partition: 0, offset: end },
        { partition: 0, offset: end + 1_000_000 },
        { partition: 1, offset: 0 },
      ])
        expect(await topic.at(place)).toBeUndefined();
    });

    test('replayed, a record of executions.v1 is there again as it was, in its partition, and marked', async () => {
      await write(letter('a'), letter('b'));
      const observer = {
        appendFailed: (error: Error) => void failures.push(error),
        recordsMapped: () => undefined,
      };
      const replay = new DeadLetterReplay({ log, topic, mappings: new Map(), keeping, observer });
      const places = (await all()).map(placeOf);
      expect((await replay.replayAt(places)).outcomes).toEqual(
        places.toReversed().map((place) => ({ ...place, outcome: 'replayed' })),
      );
      const [first, second] = await log.read({
        topic: TOPICS.executions,
        partition: 1,
        offset: 0,
        maxRecords: 9,
      });
      expect(first).toMatchObject({ key: 'a', value: '{"a":1}' });
      expect(first?.headers).toEqual({
        of: 'a',
        'headroom-replays': '1',
        'headroom-replayed-from': `executions.dlq.v1[0]@${places[1]?.offset}`,
      });
      expect(second).toMatchObject({ key: 'b' });
      expect(failures).toEqual([]);
    });
  });
}
