import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { mapRecord, mapText, MAX_ELEMENTS, MAX_RECORD_BYTES, type Mapping } from './map-record.js';
import { mappingSchema, type MappingInput } from './mapping.js';

const T = Date.UTC(2026, 10, 24, 10, 0, 0);
const base: MappingInput = {
  execution: '{job.id}',
  pool: '{queue}',
  status: {
    text: '{state}',
    values: { waiting: 'queued', running: 'started', ok: 'completed', error: 'failed', ping: 'ignore' },
  },
  times: { queuedAt: 'job.created', startedAt: 'job.started', endedAt: 'job.ended' },
};
const mapping = (more: Partial<MappingInput> = {}): Mapping => ({
  ...mappingSchema.parse({ ...base, ...more }),
  name: 'jobs',
});
const job = (more: object = {}) => ({ id: 17, created: T, started: T + 5, ended: T + 30, ...more });
const record = (state: string, more: object = {}) => ({ state, queue: 'etl', job: job(more) });
const one = (of: unknown, by: Partial<MappingInput> = {}, about = {}) => {
  const mapped = mapRecord(of, mapping(by), about);
  expect(mapped).toHaveLength(1);
  return mapped[0]!;
};
const eventOf = (of: unknown, by: Partial<MappingInput> = {}, about = {}) => {
  const mapped = one(of, by, about);
  if (mapped.outcome !== 'mapped') throw new Error(`must be mapped, got ${JSON.stringify(mapped)}`);
  return mapped.event;
};

describe('a record becomes an event', () => {
  test('with the mapping as its source, a stable id, and every time of the attempt', () => {
    expect(eventOf(record('ok'))).toEqual({
      specversion: '1.0',
      id: 'jobs:17/1/completed',
      source: 'jobs',
      type: 'com.headroom.execution.completed.v1',
      subject: 'jobs:17',
      data: {
        pool: 'etl',
        taskType: 'default',
        attempt: 1,
        queuedAtMs: T,
        startedAtMs: T + 5,
        endedAtMs: T + 30,
      },
    });
  });

  test('the same one whenever it is sent again', () => {
    fc.assert(
      fc.property(fc.constantFrom('waiting', 'running', 'ok', 'error'), fc.nat(), (state, id) => {
        expect(eventOf(record(state, { id }))).toEqual(eventOf(record(state, { id })));
      }),
    );
  });

  test('labels, attempt and id are read where the mapping says; only a failure has an error class', () => {
    const by: Partial<MappingInput> = {
      source: 'acme',
      attempt: { path: 'job.try', plus: 1 },
      taskType: '{job.kind}',
      workerId: ['{job.host}', 'host-{job.pid}'],
      errorClass: '{job.error}',
      id: 'event-{job.seq}',
    };
    const more = { try: 1, kind: 'resize', pid: 42, error: `E${'x'.repeat(300)}`, seq: 9 };
    const failed = eventOf(record('error', more), by);
    expect(failed).toMatchObject({ id: 'event-9', source: 'acme', subject: 'acme:17' });
    expect(failed.data).toMatchObject({ attempt: 2, taskType: 'resize', workerId: 'host-42' });
    expect(failed.data.errorClass).toHaveLength(200);
    expect(eventOf(record('ok', more), by).data.errorClass).toBeUndefined();
    // A platform that counts from 1 says 0 of what nobody has tried.
    expect(eventOf(record('waiting', { try: '0' }), { attempt: 'job.try' }).data.attempt).toBe(1);
  });

  test.each([
    ['Mail_Outbound', 'mail-outbound'],
    ['  ETL / nightly!! ', 'etl-nightly'],
    ['ünïcode', 'n-code'],
    [`a${'-'.repeat(80)}b`, 'a-b'],
    ['x'.repeat(80), 'x'.repeat(63)],
    [12, '12'],
  ])('pool %j is %s', (queue, pool) => {
    expect(eventOf({ ...record('ok'), queue }).data.pool).toBe(pool);
  });

  test('some pools are renamed', () => {
    const by: Partial<MappingInput> = { pool: { text: '{queue}', values: { Q1: 'images' } } };
    expect(eventOf({ ...record('ok'), queue: 'Q1' }, by).data.pool).toBe('images');
    expect(eventOf({ ...record('ok'), queue: 'Q2' }, by).data.pool).toBe('q2');
  });

  test('what the source knows of a record is found under @', () => {
    const by: Partial<MappingInput> = { pool: '{@.parts[1]}', times: { at: '@.timeMs' }, status: 'queued' };
    const about = { parts: ['bull', 'mail', 'events'], timeMs: T };
    expect(eventOf({ job: { id: 1 } }, by, about).data).toMatchObject({ pool: 'mail', queuedAtMs: T });
  });
});

describe('status', () => {
  const rules: Partial<MappingInput> = {
    status: [
      {
        phase: 'failed',
        when: [
          { path: 'job.ended', exists: true },
          { path: 'job.error', exists: true },
        ],
      },
      { phase: 'completed', when: { path: 'job.ended', exists: true } },
      { phase: 'ignore', when: { path: 'job.kind', startsWith: 'test-' } },
      { phase: 'started', when: { path: 'job.started', exists: true } },
      { phase: 'queued', when: { path: 'job.kind', not: ['started', 'x'] } },
    ],
  };
  test.each([
    [{ ended: T + 30, error: 'boom' }, 'failed'],
    [{ error: '' }, 'completed'],
    [{ ended: null }, 'started'],
    [{ ended: null, started: undefined }, 'queued'],
  ])('rules: the first that holds for %j gives %s', (more, phase) => {
    expect(eventOf(record('', more), rules).type).toContain(`.${phase}.`);
  });

  test('a word that is ignored, a rule that is ignored, and one that is not known', () => {
    expect(one(record('ping'))).toEqual({
      outcome: 'ignored',
      why: 'its status says nothing about executions',
    });
    expect(one(record('', { ended: null, kind: 'test-1' }), rules)).toMatchObject({ outcome: 'ignored' });
    expect(one(record('paused'))).toEqual({
      outcome: 'refused',
      reason: 'unknown_status',
      detail: 'status: must be one of waiting, running, ok, error, ping, got "paused"',
    });
    const none = one(record('', { ended: null, started: null, kind: 'x' }), rules);
    expect(none).toMatchObject({ outcome: 'refused', reason: 'unknown_status' });
    expect(one({ ...record('ok'), state: null })).toMatchObject({ reason: 'missing' });
    const ignoring = {
      status: { text: '{state}', values: { ok: 'completed' }, otherwise: 'ignore' },
    } as const;
    expect(one(record('paused'), ignoring)).toMatchObject({ outcome: 'ignored' });
    expect(one({ ...record('ok'), state: null }, ignoring)).toMatchObject({ outcome: 'refused' });
    // No word of the platform reaches what JavaScript inherits.
    expect(one(record('constructor'))).toMatchObject({ reason: 'unknown_status' });
  });

  test('records can be left out on purpose, with the reason', () => {
    const ignore: MappingInput['ignore'] = [
      { when: { path: 'manual', is: true }, why: 'somebody tries it out' },
      {
        when: [
          { path: 'queue', is: ['etl', 'x'] },
          { path: 'job.id', is: 18 },
        ],
        why: 'the probe',
      },
    ];
    expect(one({ ...record('ok'), manual: true }, { ignore })).toEqual({
      outcome: 'ignored',
      why: 'somebody tries it out',
    });
    expect(one(record('ok', { id: '18' }), { ignore })).toMatchObject({ why: 'the probe' });
    expect(one(record('ok', { id: 17 }), { ignore })).toMatchObject({ outcome: 'mapped' });
  });
});

describe('times', () => {
  const timesOf = (of: unknown, times: MappingInput['times']) => {
    const { data } = eventOf(of, { times });
    const { queuedAtMs, startedAtMs, endedAtMs, assumed } = data;
    return { queuedAtMs, startedAtMs, endedAtMs, assumed };
  };

  test('of the phase and those before it; later ones are left out', () => {
    const { times } = base;
    expect(timesOf(record('waiting'), times)).toEqual({ queuedAtMs: T });
    expect(timesOf(record('running'), times)).toEqual({ queuedAtMs: T, startedAtMs: T + 5 });
  });

  test('one that no field tells is that of the status, and the earlier ones are assumed', () => {
    const times = { unit: 'iso', at: 'at' } as const;
    const told = (state: string) => ({ ...record(state), at: '2026-11-24T10:00:00.5Z' });
    const at = T + 500;
    expect(timesOf(told('waiting'), times)).toEqual({ queuedAtMs: at });
    expect(timesOf(told('running'), times)).toEqual({
      queuedAtMs: at,
      startedAtMs: at,
      assumed: ['queuedAtMs'],
    });
    const ended = { queuedAtMs: at, startedAtMs: at, endedAtMs: at, assumed: ['queuedAtMs', 'startedAtMs'] };
    expect(timesOf(told('ok'), times)).toEqual(ended);
    expect(timesOf(told('error'), times)).toEqual(ended);
  });

  test('a failure without a start has none, where the platform tells starts', () => {
    expect(timesOf(record('error', { started: null }), base.times)).toEqual({
      queuedAtMs: T,
      endedAtMs: T + 30,
    });
    // A completed execution has started, whatever its record forgets.
    expect(timesOf(record('ok', { started: null }), base.times)).toEqual({
      queuedAtMs: T,
      startedAtMs: T + 30,
      endedAtMs: T + 30,
      assumed: ['startedAtMs'],
    });
  });

  test('each in its unit, the first alternative that is there and whose conditions hold', () => {
    const times: MappingInput['times'] = {
      unit: 's',
      queuedAt: [
        { path: 'job.created', unit: 'ms', when: { path: 'job.try', is: 1 } },
        { path: 'job.retriedS' },
      ],
      startedAt: { path: 'job.startedUs', unit: 'us' },
      endedAt: ['job.nothing', 'job.endedS'],
    };
    const more = { startedUs: (T + 5) * 1000, endedS: T / 1000 + 1, retriedS: T / 1000 };
    expect(timesOf(record('ok', { ...more, created: T + 1, try: 1 }), times)).toMatchObject({
      queuedAtMs: T + 1,
      startedAtMs: T + 5,
      endedAtMs: T + 1000,
    });
    expect(timesOf(record('ok', { ...more, try: 2 }), times)).toMatchObject({ queuedAtMs: T });
  });

  test('a delay or a duration can be added', () => {
    const times: MappingInput['times'] = {
      queuedAt: [{ path: 'job.created', plus: { path: 'job.delayS', unit: 's' } }, 'job.created'],
      startedAt: 'job.started',
      endedAt: { path: 'job.started', plus: { path: 'job.tookMs' } },
    };
    const started = T + 3000;
    expect(timesOf(record('ok', { delayS: 2, started, tookMs: '25' }), times)).toMatchObject({
      queuedAtMs: T + 2000,
      endedAtMs: started + 25,
    });
    expect(timesOf(record('ok', { started, tookMs: 0 }), times)).toMatchObject({
      queuedAtMs: T,
      endedAtMs: started,
    });
    expect(one(record('ok', { delayS: -1 }), { times })).toMatchObject({ reason: 'unreadable_time' });
  });

  test('clocks that differ a little are reconciled, a wrong one is refused', () => {
    expect(timesOf(record('ok', { created: T + 7 }), base.times)).toMatchObject({
      queuedAtMs: T + 5,
      startedAtMs: T + 5,
    });
    expect(one(record('ok', { created: T + 61_000 }))).toMatchObject({
      outcome: 'refused',
      reason: 'invalid',
      detail: expect.stringContaining('startedAtMs ≥ queuedAtMs'),
    });
    // Microseconds that the mapping takes for milliseconds are in the year 58,000.
    expect(one(record('waiting', { created: T * 1000 }))).toMatchObject({ reason: 'unreadable_time' });
  });
});

describe('an array in a record', () => {
  const by: Partial<MappingInput> = {
    each: 'runs',
    execution: '{$.batch}/{id}',
    pool: '{$.queue}',
    status: 'completed',
    times: { endedAt: 'ended' },
    ignore: [{ when: { path: '$.kind', is: 'ping' }, why: 'a ping' }],
  };
  const batch = (runs: unknown) => ({ batch: 'b1', queue: 'etl', runs });

  test('is mapped element by element, in order, each with its own outcome', () => {
    const mapped = mapRecord(batch([{ id: 1, ended: T }, { id: 2 }, 7, { id: 3, ended: T }]), mapping(by));
    expect(mapped.map(({ outcome }) => outcome)).toEqual(['mapped', 'refused', 'refused', 'mapped']);
    expect(mapped[3]).toMatchObject({ event: { subject: 'jobs:b1/3' } });
    expect(mapRecord(batch([]), mapping(by))).toEqual([]);
  });

  test('must be one, and not too long', () => {
    expect(mapRecord(batch('none'), mapping(by))).toEqual([
      { outcome: 'refused', reason: 'missing', detail: 'runs: must be an array, got "none"' },
    ]);
    expect(mapRecord({ kind: 'ping' }, mapping(by))).toEqual([{ outcome: 'ignored', why: 'a ping' }]);
    expect(mapRecord(batch(Array(MAX_ELEMENTS + 1).fill(1)), mapping(by))).toMatchObject([
      { reason: 'too_many_elements' },
    ]);
  });
});

describe('poison', () => {
  test.each([
    ['no JSON', '{"a":', 'malformed_json'],
    ['nothing', '', 'malformed_json'],
    ['too much', JSON.stringify('x'.repeat(MAX_RECORD_BYTES)), 'oversized'],
    ['null', 'null', 'missing'],
    ['a number', '7', 'missing'],
    ['an array', '[{"state":"ok"}]', 'missing'],
    ['no id', JSON.stringify(record('ok', { id: null })), 'missing'],
    ['an object as id', JSON.stringify(record('ok', { id: {} })), 'missing'],
    ['no pool', JSON.stringify({ ...record('ok'), queue: '' }), 'missing'],
    ['a pool without a letter', JSON.stringify({ ...record('ok'), queue: '///' }), 'missing'],
    ['no time', JSON.stringify(record('ok', { ended: null })), 'missing'],
    ['a time that is none', JSON.stringify(record('ok', { ended: 'soon' })), 'unreadable_time'],
    ['an id that is too long', JSON.stringify(record('ok', { id: 'x'.repeat(201) })), 'invalid'],
    [
      'a deep record',
      JSON.stringify(record('ok')).replace('17', `${'['.repeat(9000)}${']'.repeat(9000)}`),
      'missing',
    ],
  ])('%s is refused', (_name, text, reason) => {
    expect(mapText(text, mapping())).toMatchObject([{ outcome: 'refused', reason }]);
  });

  test('an attempt that is no number is refused', () => {
    for (const value of ['first', 1.5, -1, null])
      expect(one(record('ok', { try: value }), { attempt: 'job.try' })).toMatchObject({
        reason: 'unreadable_attempt',
      });
  });

  test('details say what, the rule, and what was found where', () => {
    expect(one(record('ok', { ended: 'soon' }))).toMatchObject({
      detail: 'times.endedAt: must be in milliseconds, got "soon" (job.ended)',
    });
    expect(one(record('ok', { id: null }))).toMatchObject({
      detail: 'execution: must be there, got nothing at {job.id}',
    });
  });

  test('whatever comes, there is an outcome and every event is valid', () => {
    const anything = fc.record(
      {
        state: fc.constantFrom('ok', 'error', 'running', 'waiting', null),
        queue: fc.json(),
        job: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(anything, fc.jsonValue()), (value) => {
        for (const mapped of mapText(JSON.stringify(value), mapping())) {
          expect(['mapped', 'ignored', 'refused']).toContain(mapped.outcome);
        }
      }),
    );
  });
});
