import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { LEVELS } from '#domain/forecasting';
import { createRandom } from '#domain/simulation';
import type { CommandContext } from '../commands/command-context.js';
import { forecastTrace, type ForecastTraceOptions } from './forecast-trace.js';
import { ResumableFile } from './resumable-file.js';

const T = Date.UTC(2026, 0, 1);
const STEP_MS = 600_000;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-forecast-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const fresh = (name: string) => {
  const file = join(folder, name);
  for (const path of [file, `${file}.resume`]) rmSync(path, { force: true });
  return file;
};

function traceOf(values: (number | '')[], stepsMs = values.map(() => STEP_MS)): string {
  const file = join(folder, 'trace.csv');
  let atMs = T;
  const rows = values.map((value, i) => {
    const row = `${new Date(atMs).toISOString()},${value}`;
    atMs += stepsMs[i] as number;
    return row;
  });
  writeFileSync(file, ['timestamp,value', ...rows, ''].join('\n'));
  return file;
}

async function run(trace: string, options: Partial<ForecastTraceOptions> = {}) {
  const failed: string[] = [];
  const context = {
    version: '0',
    print: () => undefined,
    note: () => undefined,
    progress: { isTerminal: false, write: () => undefined },
    fail: ({ code, message }: { code: number; message: string }) => (failed.push(message), code),
  } as unknown as CommandContext;
  const given = { horizons: '1b,3b,6b', from: '0', seasons: '1d', jsonl: fresh('out.jsonl'), ...options };
  const code = await forecastTrace(trace, given, context);
  const text = existsSync(given.jsonl) ? readFileSync(given.jsonl, 'utf8') : '';
  return { code, failed, text, lines: linesOf(text) };
}

interface Line {
  origin: string;
  bucketS: number;
  horizonS: number;
  q: Record<string, number>;
}
const linesOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);

/** Days of buckets of ten minutes. */
function days(count: number, seed: number): number[] {
  const random = createRandom(seed);
  return Array.from({ length: count * 144 }, (_, i) =>
    Math.round(200 + 150 * Math.sin((2 * Math.PI * i) / 144) + 20 * random()),
  );
}

describe('headroom forecast', () => {
  test('writes a line per origin and horizon of which the target lies in the wanted part', async () => {
    const values = days(2, 1);
    const { code, lines } = await run(traceOf(values), { from: '0.67' });
    expect(code).toBe(0);
    const first = Math.ceil(0.67 * values.length);
    const expected = values.flatMap((_, origin) =>
      [1, 3, 6].flatMap((steps) => (origin + steps >= first ? [[origin, steps * 600]] : [])),
    );
    expect(lines.map(({ origin, horizonS }) => [(Date.parse(origin) - T) / STEP_MS, horizonS])).toEqual(
      expected,
    );
    for (const { origin, bucketS, q } of lines) {
      expect(origin).toMatch(/^2026-01-\d\dT\d\d:\d\d:00Z$/);
      expect(bucketS).toBe(600);
      const quantiles = LEVELS.map((level) => q[String(level)] as number);
      expect(quantiles).toEqual(quantiles.toSorted((a, b) => a - b));
    }
  });

  test('horizons may be durations, and the wanted part a time', async () => {
    const { lines } = await run(traceOf(days(1, 1)), { horizons: '30m, 1h,3b', from: '2026-01-01T20:00' });
    expect([...new Set(lines.map(({ horizonS }) => horizonS))].toSorted()).toEqual([1800, 3600]);
    const targets = lines.map(({ origin, horizonS }) => Date.parse(origin) + 1000 * horizonS);
    expect(Math.min(...targets)).toBe(T + 20 * 3_600_000);
  });

  test('what comes later in a trace changes no forecast made before', async () => {
    const values = days(3, 2);
    const changedFrom = 300;
    const before = (lines: Line[]) =>
      lines.filter(({ origin }) => Date.parse(origin) < T + changedFrom * STEP_MS);
    const asItWas = await run(traceOf(values));
    const changed = await run(
      traceOf(values.map((value, i) => (i < changedFrom ? value : i % 7 === 0 ? '' : 9 * value))),
    );
    expect(before(changed.lines).length).toBeGreaterThan(800);
    expect(before(changed.lines)).toEqual(before(asItWas.lines));
    expect(changed.lines).not.toEqual(asItWas.lines);
  });

  test.each<[string, Partial<ForecastTraceOptions>, string]>([
    [
      'a horizon that is no multiple',
      { horizons: '15m' },
      '--horizons: must be 1 to 10000 whole buckets of 600 s, got 15m',
    ],
    [
      'no horizon',
      { horizons: 'soon' },
      '--horizons: must be durations such as 5m or buckets such as 3b, got soon',
    ],
    [
      'a horizon of nothing',
      { horizons: '0b' },
      '--horizons: must be 1 to 10000 whole buckets of 600 s, got 0b',
    ],
    [
      'a share beyond the trace',
      { from: '1.5' },
      '--from: must be a share in [0, 1) or a date-time such as 1998-06-10T12:00, got 1.5',
    ],
    [
      'a time beyond the trace',
      { from: '2027-01-01' },
      '--from: must lie before the end of the trace, got 2027-01-01',
    ],
    [
      'a season that is no multiple',
      { seasons: '1000s' },
      '--seasons: must be whole buckets of 600 s, got 1000s',
    ],
  ])('refuses %s', async (_, options, problem) => {
    expect(await run(traceOf(days(1, 1)), options)).toMatchObject({ code: 2, failed: [problem], text: '' });
  });

  test.each<[string, () => string, RegExp]>([
    [
      'times that do not rise',
      () => traceOf([1, 2, 3], [STEP_MS, -STEP_MS, 0]),
      /line 4: timestamps must rise/,
    ],
    [
      'another step',
      () => traceOf([1, 2, 3], [STEP_MS, 2 * STEP_MS, 0]),
      /line 4: step must be 600 s as before/,
    ],
    ['a negative value', () => traceOf([1, -2, 3]), /line 3: value must be a number ≥ 0 or empty, got -2/],
    [
      'a file that is not there',
      () => join(folder, 'none.csv'),
      /must be a readable CSV file, plain or gzip, got ENOENT/,
    ],
  ])('refuses %s', async (_, trace, problem) => {
    const { code, failed } = await run(trace());
    expect([code, failed[0]]).toEqual([2, expect.stringMatching(problem)]);
  });

  test('stopped, it goes on where it was; what is complete is not written over', async () => {
    const trace = traceOf(days(40, 3));
    const whole = await run(trace);
    const jsonl = fresh('stopped.jsonl');
    const stopped = run(trace, { jsonl });
    while (!existsSync(`${jsonl}.resume`)) await new Promise((resolve) => setImmediate(resolve));
    process.emit('SIGINT', 'SIGINT');
    expect((await stopped).code).toBe(130);
    const done = (await stopped).lines.length;
    expect(done).toBeLessThan(whole.lines.length);
    expect((await run(trace, { jsonl, horizons: '1b' })).failed).toEqual([
      `${jsonl}: must be unfinished of this trace and these options, got one of others`,
    ]);
    const resumed = await run(trace, { jsonl });
    expect([resumed.code, resumed.text === whole.text]).toEqual([0, true]);
    expect(existsSync(`${jsonl}.resume`)).toBe(false);
    expect(await run(trace, { jsonl })).toMatchObject({
      code: 2,
      failed: [`${jsonl}: must be new or unfinished, got a complete one`],
      text: whole.text,
    });
  });
});

test('a file whose writer was killed loses what came after it was kept last', async () => {
  const path = fresh('killed.txt');
  const opened = async () => {
    const file = await ResumableFile.open<number>(path, 'key');
    if (!file.ok) throw new Error(file.problem);
    return file;
  };
  const first = await opened();
  await first.file.append('one\n');
  await first.file.keep(1);
  await first.file.append('two\n'.repeat(300_000));
  await first.file.close();
  expect(readFileSync(path, 'utf8').length).toBeGreaterThan(1_000_000);
  const second = await opened();
  expect(second.state).toBe(1);
  await second.file.append('three\n');
  await second.file.finish();
  expect(readFileSync(path, 'utf8')).toBe('one\nthree\n');
});
