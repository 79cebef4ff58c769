import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openLocalIdentity, type Scope } from '#adapters/identity';
import { createLogger } from '#adapters/telemetry';
import type { CommandContext } from '../commands/command-context.js';
import { configSchema } from '../config.js';
import { startProgram, type Program } from '../program.js';
import type { LetterOptions, ListOptions, ReplayOptions } from './letter-options.js';
import { listLetters } from './list-letters.js';
import { printable } from './printable.js';
import { replayLetters } from './replay-letters.js';
import { showLetter } from './show-letter.js';

// The commands on a program that keeps payloads, and on one that does not: each has the same letters.

interface Running {
  program: Program;
  dataDir: string;
  config: string;
  sign(...scopes: Scope[]): Promise<string>;
}

let folder: string;
let keeping: Running;
let redacting: Running;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-letters-'));
  keeping = await start('keeping', { payload: 'keep' });
  redacting = await start('redacting', {});
  for (const { program, sign } of [keeping, redacting]) {
    const answer = await fetch(`${program.urls.api}/v1/events`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await sign('events:write')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(['secret \u001b[2J', { ...completed, type: `${completed.type}9` }]),
    });
    if (answer.status !== 202) throw new Error(`events: must be taken, got ${answer.status}`);
  }
}, 60_000);
afterAll(async () => {
  await Promise.all([keeping, redacting].map(({ program }) => program.stop()));
  rmSync(folder, { recursive: true });
});

const completed = {
  specversion: '1.0',
  id: 'run-1',
  source: 'spec',
  type: 'com.headroom.execution.completed.v1',
  subject: 'run-1',
  data: { pool: 'web', queuedAtMs: 1, startedAtMs: 1, endedAtMs: 1 },
};

async function start(name: string, deadLetters: object): Promise<Running> {
  const dataDir = join(folder, name);
  const opened = await openLocalIdentity(dataDir, { create: true });
  if (!opened.ok) throw new Error(opened.problem);
  const { identity } = opened;
  const [port, routerPort] = [await freePort(), await freePort()];
  const written = { api: { port }, router: { port: routerPort }, deadLetters };
  const config = join(folder, `${name}.yaml`);
  writeFileSync(config, JSON.stringify(written));
  const program = await startProgram({
    config: configSchema.parse(written),
    dataDir,
    identity,
    logger: createLogger({ level: 'error' }),
    targets: ['ingest'],
    version: '0',
  });
  const sign = async (...scopes: Scope[]) =>
    (await identity.signToken({ scopes, lifetimeS: 60, subject: 'spec' })).token;
  return { program, dataDir, config, sign };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Ended {
  code: number;
  printed: string[];
  failed: string[];
}

/** Runs a command as on a machine where nothing but this is set. */
async function run(
  command: (context: CommandContext) => Promise<number>,
  environment: { token?: string; url?: string } = {},
): Promise<Ended> {
  const printed: string[] = [];
  const failed: string[] = [];
  const context = {
    environment,
    projectDir: folder,
    print: (line: string) => void printed.push(line),
    note: () => undefined,
    fail: ({ code, message }: { code: number; message: string }) => (failed.push(message), code),
  } as unknown as CommandContext;
  return { code: await command(context), printed, failed };
}
const at = ({ config, dataDir }: Running) => ({ config, dataDir });
const list = (of: Running, options: Partial<ListOptions> = {}) =>
  run((context) => listLetters({ ...at(of), limit: 50, ...options }, context));
const show = (of: Running, place: string, options: LetterOptions = {}) =>
  run((context) => showLetter(place, { ...at(of), ...options }, context));
const replay = (of: Running, places: string[], options: ReplayOptions = {}) =>
  run((context) => replayLetters(places, { ...at(of), ...options }, context));

describe('headroom dead-letters', () => {
  test('list has a line for each, newest first, and finds the token by itself', async () => {
    const { code, printed } = await list(keeping);
    expect({ code, printed }).toEqual({
      code: 0,
      printed: [
        expect.stringMatching(/^0\/1 +20\S+Z {2}unknown_version POST \/v1\/events {2}version 1, got 19$/),
        expect.stringMatching(/^0\/0 +20\S+Z {2}unknown_type +POST \/v1\/events {2}type must be /),
      ],
    });
    const some = await list(keeping, { limit: 1, json: true, from: '1h', source: 'POST /v1/events' });
    expect(JSON.parse(some.printed[0] as string)).toMatchObject({
      hasMore: true,
      letters: [{ partition: 0, offset: 1, reason: 'unknown_version', payload: { state: 'kept' } }],
    });
    expect(await list(keeping, { reason: 'too_old' })).toEqual({ code: 0, printed: [], failed: [] });
    expect(await list(keeping, { to: '2020-01-01' })).toEqual({ code: 0, printed: [], failed: [] });
  });

  test('show has all that is kept, and nothing in it reaches the terminal as a command', async () => {
    const { code, printed } = await show(keeping, '0/0');
    expect(code).toBe(0);
    expect(printed).toContain('source    POST /v1/events');
    expect(printed.at(-1)).toBe('"secret \\u001b[2J"');
    const asJson = await show(keeping, '0/1', { json: true });
    expect(JSON.parse(asJson.printed[0] as string)).toMatchObject({
      reason: 'unknown_version',
      payload: { state: 'kept', text: expect.stringContaining('"run-1"') },
    });
    expect(printable('a\u001b\u009b\u202e\u2028ü')).toBe('a\\u001b\\u009b\\u202e\\u2028ü');
  });

  test('by default nothing of a payload is kept, and its sender finds it by its hash', async () => {
    const { printed } = await show(redacting, '0/0');
    expect(printed.join()).not.toContain('secret');
    expect(printed.at(-1)).toMatch(/^payload {3}redacted, 18 bytes, sha256 [0-9a-f]{64}$/);
    expect(await replay(redacting, ['0/0'])).toEqual({
      code: 1,
      printed: [
        expect.stringMatching(/^0\/0 {2}redacted: payload: must be kept \(deadLetters\.payload\), /),
        '0 replayed, 1 refused',
      ],
      failed: [],
    });
  });

  test('replay says what is still refused, by places and by filter', async () => {
    expect(await replay(keeping, ['0/1', '0/0', '0/9'])).toEqual({
      code: 1,
      printed: [
        expect.stringMatching(/^0\/0 {2}still_refused: unknown_type: /),
        '0/1  still_refused: unknown_version: version 1, got 19',
        expect.stringMatching(/^0\/9 {2}no_letter: /),
        '0 replayed, 3 refused',
      ],
      failed: [],
    });
    const some = await replay(keeping, [], { reason: 'unknown_type', limit: 5, json: true });
    expect(JSON.parse(some.printed[0] as string)).toMatchObject({
      replayed: 0,
      refused: 1,
      hasMore: false,
      letters: [{ offset: 0, reason: 'still_refused' }],
    });
    expect(await replay(keeping, [], { reason: 'too_old', limit: 5 })).toEqual({
      code: 0,
      printed: ['0 replayed, 0 refused'],
      failed: [],
    });
  });

  test.each<[string, () => Promise<Ended>, number, RegExp]>([
    ['a place that is none', () => show(keeping, '17'), 2, /^letter: must be a place like 0\/17, got 17/],
    ['a letter that is not there', () => show(keeping, '0/7'), 2, /^dead letter 0\/7: must be there/],
    ['a time that is none', () => list(keeping, { from: 'soon' }), 2, /^--from: must be a date/],
    ['a reason that is none', () => list(keeping, { reason: 'too old' }), 2, /^query: reason: /],
    [
      'neither places nor filter',
      () => replay(keeping, []),
      2,
      /^replay: must have places or a filter, got neither/,
    ],
    ['both', () => replay(keeping, ['0/0'], { reason: 'x', limit: 1 }), 2, /got both/],
    ['a filter without a bound', () => replay(keeping, [], { reason: 'x' }), 2, /^--limit: must be given/],
    ['a wrong place among others', () => replay(keeping, ['0/0', 'x']), 2, /^letter: must be a place/],
    ['nobody there', () => list(keeping, { url: 'http://127.0.0.1:9' }), 3, /must answer/],
    ['no token', () => list(keeping, { url: keeping.program.urls.api }), 4, /^token: must be a valid/],
  ])('%s ends with its exit code', async (_name, ended, code, message) => {
    expect(await ended()).toEqual({ code, printed: [], failed: [expect.stringMatching(message)] });
  });

  test('reading and replaying are allowed apart', async () => {
    const token = await keeping.sign('dead-letters:read');
    const url = keeping.program.urls.api;
    const given = (command: (context: CommandContext) => Promise<number>) => run(command, { token, url });
    expect(await given((context) => listLetters({ limit: 1 }, context))).toMatchObject({ code: 0 });
    expect(await given((context) => replayLetters(['0/0'], {}, context))).toMatchObject({
      code: 4,
      failed: ['token: must allow dead-letters:replay, got one that does not'],
    });
  });
});
