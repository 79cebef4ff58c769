import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { MAX_EVENT_BYTES, parseExecutionEvent, phaseOf } from './execution-event.js';

const golden = JSON.parse(readFileSync('libs/domain/events/fixtures/v1.json', 'utf8')) as {
  accepted: Record<string, { type: string; data: object }>;
  refused: Record<string, object>;
};

describe('golden fixtures of version 1 (a change that breaks these breaks senders)', () => {
  test.each(Object.entries(golden.accepted))('%s is accepted and nothing in it is lost', (_name, event) => {
    const parsed = parseExecutionEvent(JSON.stringify(event));
    expect(parsed).toMatchObject({ ok: true, event });
  });

  test.each(Object.entries(golden.refused))('refused as %s', (reason, event) => {
    expect(parseExecutionEvent(JSON.stringify(event))).toMatchObject({ ok: false, reason });
  });
});

const queued = golden.accepted['queued'] as { type: string; data: Record<string, unknown> };
const withData = (patch: Record<string, unknown>) =>
  parseExecutionEvent(JSON.stringify({ ...queued, data: { ...queued.data, ...patch } }));

describe('poison', () => {
  test.each([
    ['nothing', '', 'malformed_json'],
    ['half an object', '{"type":', 'malformed_json'],
    ['null', 'null', 'unknown_type'],
    ['an array', '[]', 'unknown_type'],
    ['a number', '7', 'unknown_type'],
    ['too much', ' '.repeat(MAX_EVENT_BYTES + 1), 'oversized'],
  ])('%s is refused', (_name, text, reason) => {
    expect(parseExecutionEvent(text)).toMatchObject({ ok: false, reason });
  });

  test('the size limit counts bytes, not characters', () => {
    expect(parseExecutionEvent('€'.repeat(MAX_EVENT_BYTES / 2))).toMatchObject({ reason: 'oversized' });
  });

  test.each([
    { queuedAtMs: -1 },
    { queuedAtMs: null }, // what JSON.stringify makes of NaN
    { queuedAtMs: 1795514400000000 }, // microseconds
    { attempt: 0 },
    { attempt: 1.5 },
    { pool: 'Not A Pool' },
    { pool: '' },
    { startedAtMs: 1795514399999 }, // before it was queued
    { startedAtMs: 1795514400002, endedAtMs: 1795514400001 },
  ])('data %j is invalid and the answer says where', (patch) => {
    expect(withData(patch)).toMatchObject({
      ok: false,
      reason: 'invalid',
      detail: expect.stringMatching(/^data/),
    });
  });
});

test('data may be JSON in base64, and is refused when it is something else', () => {
  const { data, ...attributes } = queued;
  const encoded = (bytes: string) =>
    parseExecutionEvent(
      JSON.stringify({ ...attributes, data_base64: Buffer.from(bytes).toString('base64') }),
    );
  expect(encoded(JSON.stringify(data))).toEqual(parseExecutionEvent(JSON.stringify(queued)));
  for (const bytes of ['{', 'null', '"text"', ''])
    expect(encoded(bytes)).toMatchObject({
      ok: false,
      reason: 'invalid',
      detail: expect.stringMatching(/^data/),
    });
});

test('data is JSON, whatever parameters its type has', () => {
  const typed = (datacontenttype: string) =>
    parseExecutionEvent(JSON.stringify({ ...queued, datacontenttype }));
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset=UTF-8',
  ])
    expect(typed(type)).toMatchObject({ ok: true });
  for (const type of ['application/jsonp', 'text/plain', ''])
    expect(typed(type)).toMatchObject({
      ok: false,
      reason: 'invalid',
      detail: expect.stringMatching(/^datacont/),
    });
});

test('the phase is the word in the type', () => {
  expect(phaseOf('com.headroom.execution.failed.v1')).toBe('failed');
});
