import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { parseForCounting } from './cloud-event.js';
import { MAX_EVENT_BYTES, parseExecutionEvent, PHASES, type CountedEvent } from './execution-event.js';
import { scanEvent } from './scan-event.js';

const golden = JSON.parse(readFileSync('libs/domain/events/fixtures/v1.json', 'utf8')) as {
  accepted: Record<string, object>;
  refused: Record<string, object>;
};

/** In the middle of other bytes, which it must not read. */
function scanned(text: string | Buffer, around = '"}') {
  const [bytes, more] = [Buffer.from(text as string), Buffer.from(around)];
  return scanEvent({
    bytes: Buffer.concat([more, bytes, more]),
    from: more.length,
    to: more.length + bytes.length,
  });
}

/** What the schema says, as far as counting needs it; undefined: refused. */
function parsed(text: string): CountedEvent | undefined {
  const result = parseExecutionEvent(text);
  if (!result.ok) return undefined;
  const { type, subject, data } = result.event;
  const { pool, attempt, errorClass, queuedAtMs, startedAtMs, endedAtMs, assumed } = data;
  return { type, subject, data: { pool, attempt, errorClass, queuedAtMs, startedAtMs, endedAtMs, assumed } };
}

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20 }),
  fc.constantFrom(
    'x',
    'x'.repeat(200),
    'x'.repeat(201),
    '',
    'Zürich',
    'a"b',
    'back\\slash',
    '\u0001',
    '\u2028',
  ),
);
const timeMs = fc.oneof(
  fc.integer({ min: 1_795_514_000_000, max: 1_795_515_000_000 }),
  fc.double({ min: 1_795_514_000_000, max: 1_795_515_000_000, noNaN: true }),
  fc.constantFrom(0, -1, 1e-7, 1, 0.5, 4_102_444_800_000, 4_102_444_800_000.5, 1e21, '1795514000000', null),
);
const isoTime = fc.oneof(
  fc
    .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    .map((at) => at.toISOString()),
  fc.constantFrom(
    '2026-02-28T23:59:59Z',
    '2024-02-29T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00Z',
    '2026-01-01T00:00:00.Z',
    '2026-01-01T00:00:00.1234567Z',
    '2026-01-01T00:00:00+02:00',
    '2026-01-01 00:00:00Z',
    '2026-01-01T00:00:00.1a3Z',
    'x026-01-01T00:00:00Z',
    '',
  ),
);
const pool = fc.oneof(
  fc.constantFrom('web', 'a', '-a', 'a-', 'A', 'a'.repeat(63), 'a'.repeat(64), ''),
  fc.stringMatching(/^[a-z0-9-]{1,20}$/),
);
/** Values that a field may be given, good ones and bad ones. */
const dataValues: Record<string, fc.Arbitrary<unknown>> = {
  pool,
  taskType: name,
  attempt: fc.oneof(fc.integer({ min: -1, max: 1002 }), fc.constantFrom(1.5, 1e3, '1')),
  workerId: name,
  errorClass: name,
  queuedAtMs: timeMs,
  startedAtMs: timeMs,
  endedAtMs: timeMs,
  assumed: fc.array(fc.constantFrom('queuedAtMs', 'startedAtMs', 'endedAtMs'), { maxLength: 3 }),
  other: fc.jsonValue({ maxDepth: 1 }),
};
const eventValues: Record<string, fc.Arbitrary<unknown>> = {
  specversion: fc.constantFrom('1.0', '0.3', 1),
  id: name,
  source: name,
  type: fc.constantFrom(
    ...PHASES.map((phase) => `com.headroom.execution.${phase}.v1`),
    'com.headroom.execution.queued.v2',
    'com.example.thing',
  ),
  subject: name,
  time: isoTime,
  datacontenttype: fc.constantFrom('application/json', 'application/json; charset=utf-8', 'text/plain'),
  traceparent: fc.constantFrom('', 'x'.repeat(100), 'x'.repeat(101)),
  data: fc.constantFrom(null, [], {}, 'text'),
  extension: fc.jsonValue({ maxDepth: 1 }),
};
const changesOf = (values: Record<string, fc.Arbitrary<unknown>>) =>
  fc.oneof(
    ...Object.entries(values).map(([key, value]) =>
      fc.tuple(fc.constant(key), fc.option(value, { nil: undefined })),
    ),
  );
/** At most so many fields of an event are another value, or missing. */
const changes = fc.record({
  data: fc.array(changesOf(dataValues), { maxLength: 2 }),
  event: fc.array(changesOf(eventValues), { maxLength: 1 }),
});

/** An event as senders write it: nothing in it is unusual. */
const plain = fc
  .record({
    phase: fc.constantFrom(...PHASES),
    subject: fc.uuid(),
    pool: fc.stringMatching(/^[a-z0-9]{1,20}$/),
    attempt: fc.option(fc.integer({ min: 1, max: 1000 }), { nil: undefined }),
    at: fc.array(fc.double({ min: 1_795_514_000_000, max: 1_795_515_000_000, noNaN: true }), {
      minLength: 3,
      maxLength: 3,
    }),
    errorClass: fc.option(fc.constantFrom('rejected', 'TypeError'), { nil: undefined }),
    assumed: fc.option(fc.subarray(['queuedAtMs', 'startedAtMs'], { minLength: 1 }), { nil: undefined }),
    indent: fc.constantFrom(undefined, 1, '\t'),
    time: fc.date({ min: new Date('2026-03-01'), max: new Date('2027-12-31'), noInvalidDate: true }),
  })
  .map(({ phase, subject, at, indent, time, ...rest }) => {
    const [queuedAtMs, startedAtMs, endedAtMs] = at.toSorted((a, b) => a - b) as [number, number, number];
    const times = {
      queuedAtMs,
      ...(phase !== 'queued' && { startedAtMs }),
      ...((phase === 'completed' || phase === 'failed') && { endedAtMs }),
    };
    const told = {
      specversion: '1.0',
      id: `${subject}-${phase}`,
      source: '/worker/w-1',
      type: `com.headroom.execution.${phase}.v1`,
      subject,
      time: time.toISOString(),
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      extension: 'of somebody',
      data: { ...rest, taskType: 'resize', workerId: 'w-1', ...times, cached: true },
    };
    return JSON.stringify(told, undefined, indent);
  });

describe('the scan says what the schema says, or nothing', () => {
  test('of events that break a rule or two, or none', () => {
    let accepted = 0;
    fc.assert(
      fc.property(plain, changes, (whole, { data, event }) => {
        const value = JSON.parse(whole) as { data: object };
        Object.assign(value.data, Object.fromEntries(data));
        const text = JSON.stringify({ ...value, ...Object.fromEntries(event) });
        const said = parsed(text);
        if (said !== undefined) accepted++;
        expect(scanned(text) ?? said).toEqual(said);
      }),
      { numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(500); // it is not of refusals alone
    expect(accepted).toBeLessThan(4_500);
  });

  test('of events that are broken: bytes changed, cut out, put in and doubled', () => {
    const change = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      cut: fc.nat(3),
      put: fc.oneof(
        fc.constantFrom(
          '"',
          '\\',
          ',',
          ':',
          '{',
          '}',
          '[',
          ']',
          ' ',
          '0',
          '.',
          '-',
          'e',
          'E5',
          '00',
          'null',
          '\n',
          '\0',
          'ü',
          '\\u0061',
          '""',
          '"a":1,',
        ),
        fc.string({ maxLength: 2 }),
      ),
    });
    fc.assert(
      fc.property(plain, fc.array(change, { minLength: 1, maxLength: 3 }), (whole, changes) => {
        let text = whole;
        for (const { at, cut, put } of changes) {
          const from = Math.floor(at * text.length);
          text = text.slice(0, from) + put + text.slice(from + cut);
        }
        const said = parsed(text);
        expect(scanned(text) ?? said).toEqual(said);
      }),
      { numRuns: 5_000 },
    );
  });

  test('of garbage: any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(scanned(Buffer.from(bytes))).toBeUndefined();
      }),
    );
  });

  test('a key twice, an escape in a key, and what follows an event are for the schema', () => {
    const text = JSON.stringify(golden.accepted['completed']);
    expect(scanned(text)).toEqual(parsed(text));
    for (const unusual of [
      text.replace('"data":', '"id":"other","data":'),
      text.replace('"pool":', '"pool":"other","pool":'),
      text.replace('"id"', '"\\u0069d"'),
      `${text}x`,
      `${text}{}`,
      `\uFEFF${text}`,
      text.slice(0, -1),
      text.replace('"attempt":', '"attempt":0'),
      `${text}${' '.repeat(MAX_EVENT_BYTES)}`,
    ])
      expect(scanned(unusual)).toBeUndefined();
  });
});

test('events as senders write them are scanned, all of them', () => {
  fc.assert(
    fc.property(plain, (text) => {
      const read = scanned(text);
      expect(read).toBeDefined();
      expect(read).toEqual(parsed(text));
    }),
    { numRuns: 1_000 },
  );
  for (const accepted of Object.values(golden.accepted)) {
    const text = JSON.stringify(accepted);
    expect(scanned(text)).toEqual(parsed(text));
    expect(scanned(text)).toBeDefined();
  }
});

test('numbers are those that JSON.parse reads, to the last bit', () => {
  const digits = (maxLength: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${maxLength}}$`));
  const wholes = fc.oneof(
    fc.bigInt({ min: 2n ** 40n - 9n, max: 4_102_444_800_000n }).map(String),
    fc.constantFrom('1099511627775', '1099511627776', '2199023255551', '2199023255552', '0', '1'),
    digits(18),
  );
  fc.assert(
    fc.property(wholes, fc.option(digits(14)), (whole, part) => {
      const number = part === null ? whole : `${whole}.${part}`;
      const text = JSON.stringify(golden.accepted['queued']).replace(
        /"queuedAtMs":\d+/,
        `"queuedAtMs":${number}`,
      );
      expect(scanned(text)).toEqual(parsed(text));
    }),
    { numRuns: 5_000 },
  );
});

test('a record is refused with the words of the schema, whether its bytes are at hand or not', () => {
  for (const refused of [...Object.values(golden.refused).map((event) => JSON.stringify(event)), '{', '']) {
    const bytes = Buffer.from(refused);
    const utf8 = { bytes, from: 0, to: bytes.length };
    expect(parseForCounting({ value: refused, headers: {}, utf8 })).toEqual(parseExecutionEvent(refused));
    expect(parseForCounting({ value: refused, headers: {} })).toEqual(parseExecutionEvent(refused));
  }
});

test('attributes in headers come before a value that looks like a whole event', () => {
  const value = JSON.stringify(golden.accepted['queued']);
  const bytes = Buffer.from(value);
  const headers = { ce_specversion: '1.0' };
  const record = { value, headers, utf8: { bytes, from: 0, to: bytes.length } };
  expect(parseForCounting(record)).toMatchObject({ ok: false, reason: 'unknown_type' });
});
