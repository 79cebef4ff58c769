import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { CommandContext } from '../commands/command-context.js';
import { importCsv, type ImportOptions } from './import-history.js';

// Against a server that answers as the API does; the real one takes part in the suites with a real Prometheus.

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
      if (request.headers.authorization !== 'Bearer given') return answer(401, { detail: 'token: none' });
      if (!request.url?.startsWith('/v1/pools/web/history'))
        return answer(404, { detail: 'pool: must be known' });
      if (request.method === 'GET') return answer(200, standing);
      const status = refusals.shift();
      if (status !== undefined)
        return answer(status, { detail: `answered ${status}` }, { 'retry-after': '0' });
      const piece = JSON.parse(body) as Piece;
      pieces.push(piece);
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
  [pieces, refusals] = [[], []];
  standing = { bucketS: 60, fromMs: T - DAY_MS, toMs: T + 30 * DAY_MS, includedToMs: null };
});

function csv(values: (number | '')[], stepMs = MINUTE_MS): string {
  const file = join(folder, 'past.csv');
  const rows = values.map((value, i) => `${new Date(T + i * stepMs).toISOString()},${value}`);
  writeFileSync(file, ['timestamp,value', ...rows, ''].join('\n'));
  return file;
}

async function run(file: string, options: Partial<ImportOptions> = {}, token: string | undefined = 'given') {
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
  const code = await importCsv(file, { pool: 'web', url, ...options }, context);
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
    const old = 'headroom: what is before 2026-01-01T00:02:00Z is left out: it is older than what is kept';
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
    expect(pieces.at(-1)).toMatchObject({ toMs: T + 8 * DAY_MS, buckets: [], isLast: true });
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
