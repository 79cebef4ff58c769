import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { CommandContext } from '../commands/command-context.js';
import { importCsv, importPrometheus, type ImportOptions } from './import-history.js';

// Against a server that answers as the API and as Prometheus do; the real ones take part in the suites of the program.

interface Piece {
  name: string;
  fromMs: number;
  toMs: number;
  buckets: { startMs: number; arrivals: number }[];
  isLast: boolean;
}

const T = Date.UTC(2026, 0, 1);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const minutes = (atMs: number) => (atMs - T) / MINUTE_MS;
let folder: string;
let server: Server;
let url: string;
let standing: { bucketS: number; fromMs: number; toMs: number; includedToMs: number | null };
let pieces: Piece[];
/** Statuses to answer with before a piece is taken. */
let refusals: number[];
/** What was asked for, in order: the ends of what Prometheus told and of what was taken, in minutes. */
let course: string[];
/** Until then Prometheus knows of one arrival a second, epoch ms; who asks for more is told that it takes too long. */
let answersToMs: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-import-'));
  server = createServer((request, reply) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const answer = (status: number, content: object, headers = {}) =>
        reply
          .writeHead(status, { 'content-type': 'application/json', ...headers })
          .end(JSON.stringify(content));
      if (request.url === '/api/v1/query_range') {
        const [start, end, step] = ['start', 'end', 'step'].map((name) =>
          Number(new URLSearchParams(body).get(name)),
        ) as [number, number, number];
        course.push(`asked ${minutes(end * 1000)}`);
        if (end * 1000 > answersToMs) return answer(503, { status: 'error', error: 'query timed out' });
        const values = Array.from({ length: (end - start) / step + 1 }, (_, i) => [start + i * step, '1']);
        const data = { resultType: 'matrix', result: [{ metric: {}, values }] };
        return answer(200, { status: 'success', data });
      }
      if (request.headers.authorization !== 'Bearer given') return answer(401, { detail: 'token: none' });
      if (!request.url?.startsWith('/v1/pools/web/history'))
        return answer(404, { detail: 'pool: must be known' });
      if (request.method === 'GET') return answer(200, standing);
      const status = refusals.shift();
      if (status !== undefined)
        return answer(status, { detail: `answered ${status}` }, { 'retry-after': '0' });
      const piece = JSON.parse(body) as Piece;
      pieces.push(piece);
      course.push(`taken ${minutes(piece.toMs)}`);
      return answer(200, { includedToMs: piece.toMs });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  [pieces, refusals, course] = [[], [], []];
  standing = { bucketS: 60, fromMs: T - DAY_MS, toMs: T + 30 * DAY_MS, includedToMs: null };
});

function csv(values: (number | '')[], stepMs = MINUTE_MS): string {
  const file = join(folder, 'past.csv');
  const rows = values.map((value, i) => `${new Date(T + i * stepMs).toISOString()},${value}`);
  writeFileSync(file, ['timestamp,value', ...rows, ''].join('\n'));
  return file;
}

async function run(
  from: string | { query: string },
  options: Partial<ImportOptions> = {},
  token: string | undefined = 'given',
) {
  const printed: string[] = [];
  const failed: string[] = [];
  const notes: string[] = [];
  const context = {
    environment: { token, url: undefined },
    projectDir: folder,
    print: (line: string) => void printed.push(line),
    note: (line: string) => void notes.push(line),
    progress: { isTerminal: false, write: () => undefined },
    fail: ({ code, message }: { code: number; message: string }) => (failed.push(message), code),
  } as unknown as CommandContext;
  const given = { pool: 'web', url, ...options };
  const code =
    typeof from === 'string'
      ? await importCsv(from, given, context)
      : await importPrometheus({ prometheus: url, ...from, ...given }, context);
  return { code, printed, failed, notes };
}

/** The program of a configuration. */
const HERE = { url: undefined as never, config: 'config/demo.yaml' };

describe('headroom import csv', () => {
  test('sends the steps as buckets of the pool, and says what it has sent', async () => {
    standing.bucketS = 120;
    const { code, printed } = await run(csv([1, 2, '', 4, 5, 6]));
    expect({ code, printed }).toEqual({
      code: 0,
      printed: ['pool web: 18 arrivals in 3 buckets, 2026-01-01T00:00:00Z to 2026-01-01T00:06:00Z'],
    });
    expect(pieces).toEqual([
      {
        name: 'csv',
        fromMs: T,
        toMs: T + 6 * MINUTE_MS,
        isLast: true,
        buckets: [3, 4, 11].map((arrivals, i) => ({ startMs: T + 2 * i * MINUTE_MS, arrivals })),
      },
    ]);
  });

  test('sends a long past in pieces that follow each other, and the last one says so', async () => {
    const { code } = await run(csv(Array.from({ length: 6000 }, () => 1)), { name: 'old', json: true });
    expect(code).toBe(0);
    expect(pieces.map(({ buckets, isLast }) => [buckets.length, isLast])).toEqual([
      ...Array.from({ length: 5 }, () => [1000, false]),
      [1000, true],
    ]);
    for (const [i, { fromMs, name }] of pieces.entries())
      expect([fromMs, name]).toEqual([pieces[i - 1]?.toMs ?? T, 'old']);
  });

  test('leaves out what is in already, what other demand counts, and what is not wanted', async () => {
    const file = csv(Array.from({ length: 20 }, () => 1));
    standing.toMs = T + 9 * MINUTE_MS;
    standing.fromMs = T + 2 * MINUTE_MS;
    const old =
      'headroom: what is before 2026-01-01T00:02:00Z is left out: it is older than what is kept in buckets of 60 s';
    expect(await run(file)).toMatchObject({ code: 0, notes: [old] });
    standing.includedToMs = T + 3 * MINUTE_MS;
    const known = 'headroom: what is before 2026-01-01T00:03:00Z is left out: it is in already';
    expect(await run(file)).toMatchObject({ code: 0, notes: [known] });
    const some = { from: '2026-01-01T00:05', to: '2026-01-01T00:07:30Z' };
    expect(await run(file, some)).toMatchObject({ code: 0, notes: [] });
    expect(pieces.map(({ fromMs, toMs }) => [minutes(fromMs), minutes(toMs)])).toEqual([
      [2, 9],
      [3, 9],
      [5, 7],
    ]);
    standing = { ...standing, toMs: T, includedToMs: null };
    expect(await run(file)).toMatchObject({
      code: 2,
      failed: [
        'history: must have a bucket of 60 s within 2026-01-01T00:02:00Z to 2026-01-01T00:00:00Z, ' +
          'got 2026-01-01T00:00:00Z to 2026-01-01T00:20:00Z',
      ],
    });
  });

  test('given again it brings in nothing, and says again that its history is complete', async () => {
    standing.includedToMs = T + 20 * MINUTE_MS;
    const printed = ['pool web: nothing new, history csv is in up to 2026-01-01T00:20:00Z'];
    expect(await run(csv(Array.from({ length: 20 }, () => 1)))).toMatchObject({ code: 0, printed });
    const end = { fromMs: T + 19 * MINUTE_MS, toMs: T + 20 * MINUTE_MS };
    expect(pieces).toEqual([{ name: 'csv', ...end, buckets: [], isLast: true }]);
    // As does one that goes on into a time without arrivals.
    expect(await run(csv([...Array.from({ length: 20 }, () => 1), 0, 0]))).toMatchObject({
      code: 0,
      printed,
    });
    expect(pieces).toHaveLength(2);
  });

  test('begins where arrivals do, and with the newest of more buckets than it takes', async () => {
    await run(csv([0, '', 3, 0]));
    expect(pieces).toMatchObject([{ fromMs: T + 2 * MINUTE_MS, toMs: T + 4 * MINUTE_MS }]);
    standing = { ...standing, bucketS: 1, toMs: T + 365 * DAY_MS };
    const { notes } = await run(csv([86_400, 86_400, 86_400, 86_400, 86_400, 86_400, 86_400, 0], DAY_MS));
    expect(notes).toEqual([expect.stringContaining('it is more than 600000 buckets ago')]);
    expect(pieces).toHaveLength(1 + 600);
    expect(pieces.at(-1)).toMatchObject({ toMs: T + 8 * DAY_MS, isLast: true });
    // The last day is known to have had none.
    expect(new Set(pieces.at(-1)?.buckets.map(({ arrivals }) => arrivals))).toEqual(new Set([0]));
  });

  test('what is quiet before there are arrivals comes in a history that goes on, and in no new one', async () => {
    const file = csv(Array.from({ length: 2_400 }, (_, i) => (i < 2_200 ? 0 : 1)));
    expect(await run(file)).toMatchObject({ code: 0 });
    expect(pieces.map(({ fromMs, toMs }) => [minutes(fromMs), minutes(toMs)])).toEqual([[2_200, 2_400]]);
    pieces = [];
    standing.includedToMs = T;
    expect(await run(file)).toMatchObject({ code: 0 });
    expect(pieces.map(({ buckets, isLast }) => [buckets.length, isLast])).toEqual([
      [1_000, false],
      [1_000, false],
      [400, true],
    ]);
  });

  test('loses nothing of steps that are longer than a bucket where pieces meet', async () => {
    const { printed } = await run(
      csv(
        Array.from({ length: 1_000 }, () => 1),
        3 * MINUTE_MS,
      ),
      { json: true },
    );
    expect(JSON.parse(printed[0] as string)).toMatchObject({ arrivals: 1_000, buckets: 2_998 });
    expect(pieces).toHaveLength(3);
  });

  test('sends a piece again when it is told to, and gives up on what will not help', async () => {
    refusals = [503, 503];
    expect(await run(csv([1, 2]))).toMatchObject({ code: 0 });
    expect(pieces).toHaveLength(1);
    refusals = [409];
    expect(await run(csv([1, 2]))).toMatchObject({ code: 1, failed: ['answered 409'] });
    refusals = Array.from({ length: 20 }, () => 503);
    expect(await run(csv([1, 2]))).toMatchObject({ code: 3, failed: ['answered 503'] });
  });

  test.each<[string, Partial<ImportOptions>, string | undefined, number, RegExp]>([
    ['a pool that is no name', { pool: 'Web' }, 'given', 2, /^--pool: must be lower-case/],
    ['a time that is none', { from: 'yesterday' }, 'given', 2, /^--from: must be a date/],
    [
      'an end before the beginning',
      { from: '2026-01-02', to: '2026-01-01' },
      'given',
      2,
      /^--to: must be later/,
    ],
    ['an unknown pool', { pool: 'other' }, 'given', 2, /^pool: must be known/],
    ['no token', {}, '', 4, /^token: none/],
    ['nobody there', { url: 'http://127.0.0.1:9' }, 'given', 3, /must answer/],
    ['no address', { url: 'nowhere' }, 'given', 2, /^--url: must be an address/],
    ['no configuration', { url: undefined as never }, 'given', 2, /must be a readable file/],
    ['no key to sign with', { ...HERE, dataDir: '/nowhere' }, 'given', 2, /^identity key .* must exist/],
  ])('%s ends with its exit code', async (_name, options, token, code, message) => {
    expect(await run(csv([1, 2]), options, token)).toMatchObject({
      code,
      printed: [],
      failed: [expect.stringMatching(message)],
    });
    expect(pieces).toEqual([]);
  });

  test('somebody else at the address is wrong usage', async () => {
    standing = { anything: 1 } as never;
    expect(await run(csv([1, 2]))).toMatchObject({
      code: 2,
      failed: [expect.stringContaining('must answer as the API of Headroom')],
    });
  });

  test('a past without arrivals, and a file that is none, are wrong input', async () => {
    expect(await run(csv([0, '']))).toMatchObject({
      code: 2,
      failed: [expect.stringContaining('must have arrivals')],
    });
    expect(await run(join(folder, 'none.csv'))).toMatchObject({ code: 2 });
  });
});

describe('headroom import prometheus', () => {
  const inTurn = (...ends: number[]) => ends.flatMap((end) => [`asked ${end}`, `taken ${end}`]);

  test('what came before a failure is in, and the same command goes on there', async () => {
    [standing.fromMs, standing.toMs] = [T, T + 2_500 * MINUTE_MS];
    answersToMs = T + 2_400 * MINUTE_MS;
    expect(await run({ query: 'jobs' })).toEqual({
      code: 3,
      printed: [],
      notes: [
        'headroom: history prometheus is in up to 2026-01-02T09:20:00Z: the same command goes on there',
      ],
      failed: ['prometheus: query timed out'],
    });
    expect(course).toEqual([...inTurn(1_000, 2_000), 'asked 2500']);
    course = [];
    standing.includedToMs = pieces.at(-1)?.toMs ?? null;
    answersToMs = Infinity;
    expect(await run({ query: 'jobs' })).toMatchObject({
      code: 0,
      printed: ['pool web: 30000 arrivals in 500 buckets, 2026-01-02T09:20:00Z to 2026-01-02T17:40:00Z'],
    });
    expect(course).toEqual(inTurn(2_500));
    expect(pieces.map(({ isLast }) => isLast)).toEqual([false, false, true]);
  });

  test('of one that fails at once nothing is said to be in', async () => {
    [standing.fromMs, standing.toMs] = [T, T + 500 * MINUTE_MS];
    answersToMs = T;
    expect(await run({ query: 'jobs' })).toMatchObject({ code: 3, notes: [] });
    expect(pieces).toEqual([]);
  });
});
