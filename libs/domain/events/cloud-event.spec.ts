import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { binaryEvent, parseEventRecord, type Protocol } from './cloud-event.js';
import { checkExecutionEvent, MAX_EVENT_BYTES } from './execution-event.js';

const golden = JSON.parse(readFileSync('libs/domain/events/fixtures/v1.json', 'utf8')) as {
  accepted: Record<string, { data: object } & Record<string, unknown>>;
};
const [prefixes, accepted] = [{ http: 'ce-', kafka: 'ce_' }, Object.entries(golden.accepted)];

function headersOf(protocol: Protocol, { data: _data, ...attributes }: Record<string, unknown>) {
  const headers = Object.entries(attributes).map(([name, value]) => [`${prefixes[protocol]}${name}`, value]);
  return { 'content-type': 'application/json', ...Object.fromEntries(headers) } as Record<string, string>;
}

describe.each<Protocol>(['http', 'kafka'])('binary mode over %s', (protocol) => {
  test.each(accepted)('%s is the same event as in structured mode', (_name, event) => {
    const read = binaryEvent(protocol, headersOf(protocol, event), event.data);
    expect(checkExecutionEvent(read)).toEqual(checkExecutionEvent(event));
  });

  test('is told from structured mode by its headers', () => {
    const headers = headersOf(protocol, golden.accepted['queued']!);
    for (const type of ['application/cloudevents+json; charset=utf-8', 'application/cloudevents-batch+json'])
      expect(binaryEvent(protocol, { ...headers, 'content-type': type }, {})).toBeUndefined();
    expect(binaryEvent(protocol, {}, {})).toBeUndefined();
    expect(binaryEvent(protocol, { [`${prefixes[protocol]}specversion`]: '1.0' }, 1)).toEqual({
      specversion: '1.0',
      data: 1,
    });
  });
});

test('values of HTTP headers are percent-decoded, and what is no encoding stays', () => {
  const headers = { 'ce-specversion': '1.0', 'ce-subject': 'Z%C3%BCrich%20%31', 'ce-source': '100%' };
  expect(binaryEvent('http', headers, 0)).toMatchObject({ subject: 'Zürich 1', source: '100%' });
  expect(binaryEvent('kafka', { ce_specversion: '1.0', ce_subject: '%31' }, 0)).toMatchObject({
    subject: '%31',
  });
});

describe('a record of a topic', () => {
  const [, event] = accepted[0]!;
  const headers = headersOf('kafka', event);

  test('is read in either mode', () => {
    const expected = checkExecutionEvent(event);
    expect(parseEventRecord(JSON.stringify(event), {})).toEqual(expected);
    expect(
      parseEventRecord(JSON.stringify(event), { 'content-type': 'application/cloudevents+json' }),
    ).toEqual(expected);
    expect(parseEventRecord(JSON.stringify(event.data), headers)).toEqual(expected);
  });

  test.each([
    ['half an object', '{"pool":', 'malformed_json'],
    ['nothing', '', 'malformed_json'],
    ['too much', `"${'x'.repeat(MAX_EVENT_BYTES)}"`, 'oversized'],
    ['no data', 'null', 'invalid'],
  ])('in binary mode with %s as its data is refused', (_name, value, reason) => {
    expect(parseEventRecord(value, headers)).toMatchObject({ ok: false, reason });
  });
});
