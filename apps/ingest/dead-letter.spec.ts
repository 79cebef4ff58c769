import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { NewRecord } from '#adapters/event-log';
import { mappingSchema, type Mapping } from '#domain/mapping';
import { MAX_REPLAYS, replayOf } from './dead-letter-replay.js';
import {
  deadLetterRecord,
  letterOf,
  type PayloadKeeping,
  type RefusedRecord,
  type StoredLetter,
} from './dead-letter.js';
import { deadLetterOf, mapReceived } from './record-mapping.js';

const T = 1_800_000_000_000;
const keep: PayloadKeeping = { payload: 'keep', maxPayloadBytes: 1_000 };
const redact: PayloadKeeping = { payload: 'redact', maxPayloadBytes: 1_000 };
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

const refused: RefusedRecord = {
  key: 'run-17',
  value: '{"secret":"ünsaid"}',
  headers: { traceparent: '00-1', reason: 'of the sender' },
  reason: 'malformed_json',
  detail: 'Unexpected token, "{"secret"" is not valid JSON',
  source: 'executions.v1[2]@17',
  about: { topic: 'executions.v1', partition: 2, offset: 17, timeMs: T },
};

/** As it is read from the log again. */
const stored = (record: NewRecord): StoredLetter =>
  letterOf(0, { headers: {}, offset: 5, timestampMs: T, ...record });
const written = (more: Partial<RefusedRecord>, keeping = keep) =>
  stored(deadLetterRecord({ ...refused, ...more }, keeping));

describe('a dead letter', () => {
  test('has the record as it came, and why it counts nowhere', () => {
    expect(written({})).toEqual({
      partition: 0,
      offset: 5,
      atMs: T,
      ...refused,
      value: undefined,
      mapping: undefined,
      elements: undefined,
      payload: { state: 'kept', text: refused.value, bytes: 20, sha256: sha256('{"secret":"ünsaid"}') },
      replays: 0,
      replayedFrom: undefined,
    });
  });

  test('redacted, tells nothing of the payload but its size and hash, by which its sender finds it', () => {
    const details: [reason: string, detail: string, told: string][] = [
      ['malformed_json', refused.detail, 'must be JSON'],
      [
        'unreadable_time',
        '[3] times.endedAt: must be in seconds, got "secret" (a.b)',
        '[3] times.endedAt: must be in seconds',
      ],
      ['unknown_type', 'type must be x, got "a, got secret"', 'type must be x'],
      ['too_many_pools', 'no room for pool web (ingest.maxPools)', 'no room for pool web (ingest.maxPools)'],
      ['too_old', 'queuedAtMs at most 60 s ago, got 61 s', 'queuedAtMs at most 60 s ago, got 61 s'],
    ];
    for (const [reason, detail, told] of details) {
      const record = deadLetterRecord({ ...refused, reason, detail }, redact);
      expect(stored(record)).toMatchObject({
        detail: told,
        key: 'run-17',
        headers: refused.headers,
        payload: { state: 'redacted', text: null, bytes: 20, sha256: sha256('{"secret":"ünsaid"}') },
      });
      expect(JSON.stringify(record)).not.toContain('secret');
    }
  });

  test('fits in a record of the log whatever came, and says that it is not all of it', () => {
    const long = 'ü'.repeat(1_000_000);
    const parts: Partial<RefusedRecord>[] = [
      { value: long },
      { key: long },
      { headers: { long, short: 'kept' } },
      { about: { long } },
      { isPart: true },
      { value: 'bytes that were \uFFFD' },
      { headers: { binary: '\uFFFD' } },
    ];
    for (const part of parts) {
      const letter = written(part);
      expect(letter.payload.state).toBe('cut');
      expect(Buffer.byteLength(JSON.stringify(letter))).toBeLessThan(65_536);
    }
    expect(written({ value: long }).payload).toMatchObject({ bytes: 2_000_000, sha256: sha256(long) });
    expect(written({ detail: long, source: long }).payload.state).toBe('kept');
    expect(written({ value: null }).payload).toMatchObject({ state: 'kept', text: null, bytes: 0 });
  });

  test('takes over of the headers of a record how often it was replayed, and nothing that is no such count', () => {
    const replayed = { 'headroom-replays': '2', 'headroom-replayed-from': 'executions.dlq.v1[0]@5' };
    const letter = written({ headers: { ...replayed, 'headroom-reason': 'forged' } });
    expect(letter).toMatchObject({
      reason: 'malformed_json',
      replays: 2,
      replayedFrom: 'executions.dlq.v1[0]@5',
    });
    expect(letter.headers).toEqual({});
    for (const forged of ['-1', '1e9', 'x'.repeat(100_000), '99999999999'])
      expect(written({ headers: { ...replayed, 'headroom-replays': forged } }).replays).toBe(0);
    const longPlace = { ...replayed, 'headroom-replayed-from': 'x'.repeat(100_000) };
    expect(written({ headers: longPlace }).replayedFrom).toBeUndefined();
  });

  test('that somebody else wrote is read as far as it can be', () => {
    const headers = {
      'headroom-about': '{',
      'headroom-elements': '{"refused":1}',
      'headroom-payload': 'all',
    };
    expect(stored({ key: 'k', value: 'v', headers })).toMatchObject({
      reason: 'unknown',
      about: {},
      elements: undefined,
      payload: { state: 'cut', text: 'v', bytes: 0 },
    });
  });
});

describe('what is written in place of a letter', () => {
  const judged = { mappings: new Map<string, Mapping>(), keeping: keep };

  test('of executions.v1 is the record as it came, where it was, and marked', () => {
    expect(replayOf(written({}), judged)).toEqual({
      accepted: [
        {
          key: 'run-17',
          value: refused.value,
          partition: 2,
          headers: {
            ...refused.headers,
            'headroom-replays': '1',
            'headroom-replayed-from': 'executions.dlq.v1[0]@5',
          },
        },
      ],
      deadLetters: [],
    });
  });

  test('nothing, when not all of it is there or it was replayed in vain too often', () => {
    const often = {
      'headroom-replays': String(MAX_REPLAYS),
      'headroom-replayed-from': 'executions.dlq.v1[0]@4',
    };
    expect(replayOf(written({}, redact), judged)).toMatchObject({
      reason: 'redacted',
      detail: expect.stringContaining(sha256('{"secret":"ünsaid"}')),
    });
    expect(replayOf(written({ isPart: true }), judged)).toMatchObject({ reason: 'cut' });
    expect(replayOf(written({ headers: often }), judged)).toMatchObject({ reason: 'too_many_replays' });
    expect(replayOf(written({ about: {}, mapping: 'gone' }), judged)).toMatchObject({
      reason: 'unknown_mapping',
    });
  });

  describe('of another platform', () => {
    const mappingWith = (values: Record<string, 'completed' | 'failed'>): Mapping => ({
      ...mappingSchema.parse({
        each: 'runs',
        execution: '{id}',
        pool: '{@.queue}',
        status: { text: '{state}', values },
        times: { endedAt: 'at' },
      }),
      name: 'jobs',
    });
    const run = (id: number, state: string) => ({ id, state, at: T });
    const received = {
      text: JSON.stringify({ runs: [run(1, 'ok'), run(2, 'odd'), run(3, 'strange'), run(4, 'ok')] }),
      about: { queue: 'web', headers: { ce_specversion: '1.0' } },
      place: 'rabbitmq headroom m-1',
    };
    const first = mappingWith({ ok: 'completed' });
    const [record] = deadLetterOf(mapReceived(received, first), received, { mapping: first, keeping: keep });
    const letter = stored(record as NewRecord);
    const replayed = (mapping: Mapping, of = letter) =>
      replayOf(of, { mappings: new Map([['jobs', mapping]]), keeping: keep });

    test('are events of the elements that were refused, and of no others', () => {
      const replay = replayed(mappingWith({ ok: 'completed', odd: 'completed', strange: 'failed' }));
      expect(replay).toMatchObject({ deadLetters: [] });
      const { accepted } = replay as { accepted: NewRecord[] };
      expect(accepted.map(({ key }) => key)).toEqual(['jobs:2', 'jobs:3']);
      const marks = { 'headroom-replays': '1', 'headroom-replayed-from': 'executions.dlq.v1[0]@5' };
      for (const { value, headers } of accepted) {
        expect(JSON.parse(value as string)).toMatchObject({ data: { pool: 'web' } });
        expect(headers).toEqual(marks);
      }
    });

    test('with a letter of the elements that are still refused', () => {
      const replay = replayed(mappingWith({ ok: 'completed', strange: 'failed' })) as {
        accepted: NewRecord[];
        deadLetters: NewRecord[];
      };
      expect(replay.accepted.map(({ key }) => key)).toEqual(['jobs:3']);
      const again = stored(replay.deadLetters[0] as NewRecord);
      expect(again).toMatchObject({
        reason: 'unknown_status',
        elements: { refused: [1], of: 4 },
        replays: 1,
        source: received.place,
        headers: received.about.headers,
      });
      const last = replayed(mappingWith({ ok: 'completed', odd: 'failed' }), again);
      expect(last).toMatchObject({ accepted: [{ key: 'jobs:2' }], deadLetters: [] });
    });

    test('nothing, when all of it is still refused, or the elements are others', () => {
      expect(replayed(first)).toEqual({
        reason: 'still_refused',
        detail: 'unknown_status: status: must be one of ok, got "odd"',
      });
      const { each: _, ...whole } = first;
      expect(replayed(whole as Mapping)).toMatchObject({ reason: 'mapping_changed' });
    });
  });
});
