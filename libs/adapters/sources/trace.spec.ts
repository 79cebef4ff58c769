import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { array, assert, double, option, property } from 'fast-check';
import { parseDateTime, parseTrace, readTrace, windowOf, type Trace } from './index.js';

const MINUTE = 60_000;
const start = Date.UTC(1998, 5, 10);
const csv = (rows: string[]) => ['timestamp,value', ...rows, ''].join('\n');
const good = csv(['1998-06-10T00:00:00Z,3', '1998-06-10T00:01:00Z,', '1998-06-10T00:02:00Z,1.5e1']);

describe('parseTrace', () => {
  test('an empty value is missing, not zero', () => {
    expect(parseTrace(good)).toEqual({
      ok: true,
      trace: { startMs: start, stepMs: MINUTE, values: [3, null, 15] },
    });
  });

  test('byte order mark and CRLF are fine', () => {
    expect(parseTrace(`\uFEFF${good.replaceAll('\n', '\r\n')}`)).toMatchObject({
      ok: true,
      trace: { values: [3, null, 15] },
    });
  });

  test('what is written is what is read', () => {
    assert(
      property(
        array(option(double({ min: 0, max: 1e9, noNaN: true })), { minLength: 2, maxLength: 50 }),
        (values) => {
          const rows = values.map((v, i) => `${new Date(start + i * MINUTE).toISOString()},${v ?? ''}`);
          expect(parseTrace(csv(rows))).toMatchObject({
            ok: true,
            trace: { values: values.map((v) => (v === 0 ? 0 : v)) },
          });
        },
      ),
    );
  });

  test.each([
    ['time,value\n', 'line 1: header must be timestamp,value, got time,value'],
    ['', 'line 1: header must be timestamp,value, got '],
    [csv(['1998-06-10,1']), 'line 2: must have at least 2 rows, got 1'],
    [csv(['1998-06-10,1', '1998-06-11']), 'line 3: must have 2 fields, got 1998-06-11'],
    [csv(['yesterday,1', '1998-06-11,1']), 'line 2: timestamp must be ISO 8601 in UTC, got yesterday'],
    [csv(['1998-06-10,1', '1998-06-10,1']), 'line 3: timestamps must rise, got 1998-06-10'],
    [csv(['1998-06-10,1', '1998-06-09,1']), 'line 3: timestamps must rise, got 1998-06-09'],
    [
      csv(['1998-06-10,1', '1998-06-11,1', '1998-06-13,1']),
      'line 4: step must be 86400 s as before, got 172800 s (1998-06-13)',
    ],
    [
      csv(['1998-06-10,1', '1998-06-11,1', '1998-06-10,1']),
      'line 4: timestamps must rise, got -86400 s (1998-06-10)',
    ],
    [csv(['1998-06-10,-1', '1998-06-11,1']), 'line 2: value must be a number ≥ 0 or empty, got -1'],
    [csv(['1998-06-10,NaN', '1998-06-11,1']), 'line 2: value must be a number ≥ 0 or empty, got NaN'],
    [csv(['1998-06-10,1e999', '1998-06-11,1']), 'line 2: value must be a number ≥ 0 or empty, got 1e999'],
    [csv(['1998-06-10,0x10', '1998-06-11,1']), 'line 2: value must be a number ≥ 0 or empty, got 0x10'],
    [csv(['1998-06-10,1', '', '1998-06-11,1']), 'line 3: must have 2 fields, got '],
  ])('%j', (text, problem) => {
    expect(parseTrace(text)).toEqual({ ok: false, problem });
  });
});

describe('parseDateTime', () => {
  test.each([
    ['1998-06-10', start],
    ['1998-06-10T12:00', start + 720 * MINUTE],
    ['1998-06-10 12:00:00.5Z', start + 720 * MINUTE + 500],
    ['1998-06-10T12:00:00+02:00', start + 600 * MINUTE],
    ['1998-02-30', undefined],
    ['1998-02-30T00:00', undefined],
    ['1998-06-10T25:00', undefined],
    ['10.06.1998', undefined],
  ])('%s', (text, ms) => {
    expect(parseDateTime(text)).toBe(ms);
  });
});

describe('windowOf', () => {
  const trace: Trace = { startMs: start, stepMs: MINUTE, values: [1, 2, null, 0] };
  const at = (minute: number) => start + minute * MINUTE;

  test.each([
    [{}, 0, [1, 2, null, 0]],
    [{ toMs: at(1) }, 0, [1]],
    [{ fromMs: at(1), toMs: at(3) }, 1, [2, null]],
    [{ fromMs: at(0.5) }, 1, [2, null, 0]],
    [{ fromMs: at(-9), toMs: at(99) }, 0, [1, 2, null, 0]],
  ])('%j', (window, minute, values) => {
    expect(windowOf(trace, window)).toEqual({
      ok: true,
      trace: { startMs: at(minute), stepMs: MINUTE, values },
    });
  });

  test.each([
    [{ fromMs: at(2) }, '1998-06-10T00:02:00Z to its end'],
    [{ toMs: at(-1) }, 'its start to 1998-06-09T23:59:00Z'],
    [{ fromMs: at(50) }, '1998-06-10T00:50:00Z to its end'],
    [{ fromMs: at(1), toMs: at(1) }, '1998-06-10T00:01:00Z to 1998-06-10T00:01:00Z'],
  ])('no arrivals in %j', (window, actual) => {
    const rule =
      'window: must hold arrivals of the trace (1998-06-10T00:00:00Z to 1998-06-10T00:04:00Z, exclusive)';
    expect(windowOf(trace, window)).toEqual({ ok: false, problem: `${rule}, got ${actual}` });
  });
});

describe('readTrace', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headroom-trace-'));
    await writeFile(join(folder, 'plain.csv'), good);
    await writeFile(join(folder, 'zipped.csv.gz'), gzipSync(good));
    await writeFile(join(folder, 'cut.csv.gz'), gzipSync(good).subarray(0, 30));
    await writeFile(join(folder, 'bad.csv'), 'a,b\n');
  });
  afterAll(() => rm(folder, { recursive: true }));

  test.each(['plain.csv', 'zipped.csv.gz'])('%s', async (file) => {
    expect(await readTrace(join(folder, file))).toMatchObject({ ok: true, trace: { values: [3, null, 15] } });
  });

  test.each([
    ['cut.csv.gz', 'Z_BUF_ERROR'],
    ['none.csv', 'ENOENT'],
    ['', 'EISDIR'],
    ['bad.csv', 'bad.csv: line 1: header must be timestamp,value, got a,b'],
  ])('%j is refused', async (file, actual) => {
    expect(await readTrace(join(folder, file))).toMatchObject({
      ok: false,
      problem: expect.stringContaining(actual),
    });
  });
});
