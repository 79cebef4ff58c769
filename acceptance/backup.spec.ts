import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { ApiClient } from './api-client.js';
import { eventually, freePorts, Workplace, type HeadroomProcess } from './headroom-process.js';
import { completed, type SentEvent } from './sent-events.js';
import { demandSettled } from './settled-demand.js';

// One story: a program is backed up while events flow, and another one goes on from the backup.

const TIMEOUT_MS = 120_000;
const BATCH = 25;
const POOL = 'web';

const work = new Workplace();
const other = join(work.folder, 'other');
let configFile: string;
let url: string;
let program: HeadroomProcess;
/** In the order in which they were acknowledged. */
const acknowledged: SentEvent[] = [];

beforeAll(async () => {
  const [apiPort, routerPort] = await freePorts(2);
  url = `http://127.0.0.1:${apiPort}`;
  configFile = work.write('headroom.yaml', {
    api: { port: apiPort },
    router: { port: routerPort },
    log: { statusEveryS: 0, level: 'warn' },
    ingest: { dedupeWindowS: 300 },
    pools: { [POOL]: { bucketS: 1, seasonsS: [60] } },
  });
});
afterEach(() => work.end(), TIMEOUT_MS);
afterAll(() => work.clean(), TIMEOUT_MS);

const file = (name: string) => join(work.folder, name);
const headroom = async (...args: string[]) => {
  const command = work.headroom(...args, '--config', configFile);
  const { code } = await command.ended;
  return { code, ...command, stdout: command.stdout, stderr: command.stderr };
};
async function startOn(dataDir: string): Promise<ApiClient> {
  program = work.headroom('start', '--config', configFile, '--data-dir', dataDir);
  await program.line(/^headroom: ready/m);
  const signed = await headroom('token', '--scope', 'all', '--data-dir', dataDir);
  return new ApiClient(url, signed.stdout.trim());
}
async function stop(): Promise<void> {
  program.kill('SIGTERM');
  expect(await program.ended).toEqual({ code: 0, signal: null });
}

async function post(api: ApiClient, events: SentEvent[]): Promise<void> {
  expect((await api.send('POST', '/v1/events', { body: events })).status).toBe(202);
}

async function totalOf(api: ApiClient): Promise<number> {
  const buckets = await api.all<{ arrivals: number }>(`/v1/pools/${POOL}/demand`);
  return buckets.reduce((sum, { arrivals }) => sum + arrivals, 0);
}

/** Demand of everything that the log holds. */
async function settledTotal(api: ApiClient): Promise<number> {
  await demandSettled(api);
  return totalOf(api);
}

/** Sends batch after batch as long as something is done; resolves when all of them are acknowledged. */
async function sendingWhile<T>(api: ApiClient, done: () => Promise<T>): Promise<T> {
  const stopping = new AbortController();
  const sender = (async () => {
    for (let batch = 0; !stopping.signal.aborted; batch++) {
      const events = Array.from({ length: BATCH }, (_, i) =>
        completed({ id: `run-${batch}-${i}`, pool: POOL, queuedAtMs: Date.now() - 25 }),
      );
      await post(api, events);
      acknowledged.push(...events);
    }
  })();
  try {
    return await done();
  } finally {
    stopping.abort();
    await sender;
  }
}

test(
  'a backup is taken from a running program, under load',
  async () => {
    const api = await startOn(work.dataDir);
    const { before, taken, after } = await sendingWhile(api, async () => {
      await eventually('demand', async () => (await totalOf(api)) > 10 * BATCH || undefined);
      // Left by somebody else, and readable for others.
      writeFileSync(file('live.backup.part'), 'x', { mode: 0o644 });
      return {
        before: acknowledged.length,
        taken: await headroom('backup', file('live.backup'), '--data-dir', work.dataDir, '--json'),
        after: acknowledged.length,
      };
    });
    expect(taken).toMatchObject({ code: 0, stderr: '' });
    const { rows, log, bytes } = JSON.parse(taken.stdout) as {
      rows: Record<string, number>;
      log: boolean;
      bytes: number;
    };
    expect(statSync(file('live.backup')).mode & 0o777).toBe(0o600);
    expect({ log, bytes }).toEqual({ log: true, bytes: readFileSync(file('live.backup')).length });
    expect(rows).toMatchObject({ policies: 1, demand_chains: expect.any(Number), log_topics: 6 });
    expect(after).toBeGreaterThan(before);
    expect(await settledTotal(api)).toBe(acknowledged.length);
    await stop();
  },
  TIMEOUT_MS,
);

test(
  'restored into an empty directory, a program goes on from that moment: what is sent again counts once',
  async () => {
    const restored = await headroom('restore', file('live.backup'), '--data-dir', other);
    expect(restored).toMatchObject({ code: 0, stderr: '' });
    expect(restored.stdout).toMatch(/^\d+ rows of \d{4}-.*Z restored$/m);
    const api = await startOn(other);
    const held = await settledTotal(api);
    expect(held).toBeGreaterThan(10 * BATCH);
    expect(held).toBeLessThanOrEqual(acknowledged.length);
    for (let i = 0; i < acknowledged.length; i += 500) await post(api, acknowledged.slice(i, i + 500));
    expect(await settledTotal(api)).toBe(acknowledged.length);
    const gaps = [...(await api.metrics())].filter(
      ([name, value]) => name.includes('partials') && name.includes('"gap"') && value > 0,
    );
    expect(gaps).toEqual([]);
    const inUse = await headroom('restore', file('live.backup'), '--data-dir', other);
    expect(inUse).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('used by one process at a time'),
    });
    await stop();
  },
  TIMEOUT_MS,
);

test(
  'a program that does not run is backed up from its directory, and a store that has rows is not restored',
  async () => {
    const taken = await headroom('backup', file('quiet.backup'), '--data-dir', other);
    expect(taken).toMatchObject({ code: 0, stderr: '' });
    expect(taken.stdout).toMatch(/quiet\.backup: \d+ rows of .*Z, \d+\.\d MB\n$/);
    expect(await headroom('backup', file('quiet.backup'), '--data-dir', other)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('must not exist, got a file'),
    });
    expect(await headroom('restore', file('quiet.backup'), '--data-dir', other)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/store: must be empty, got rows in policies, demand, .*log_offsets\n/),
    });
  },
  TIMEOUT_MS,
);

test(
  'a file that is cut, changed, newer or no backup is refused before anything is written',
  async () => {
    const whole = readFileSync(file('quiet.backup'));
    const text = gunzipSync(whole).toString();
    const changed = Buffer.from(whole);
    changed[whole.length >> 1] = (changed[whole.length >> 1] as number) ^ 1;
    const files: [name: string, content: Buffer, message: RegExp][] = [
      [
        'cut',
        whole.subarray(0, whole.length - 100),
        /backup: must be as it was written, got: unexpected end/,
      ],
      ['changed', changed, /backup: must/],
      ['newer', gzipSync(text.replace('"format":1', '"format":9')), /backup: format 1 or older, got 9/],
      ['none', Buffer.from('something else'), /backup: must be a file of `headroom backup`/],
    ];
    const target = join(work.folder, 'target');
    for (const [name, content, message] of files) {
      writeFileSync(file(name), content);
      const refused = await headroom('restore', file(name), '--data-dir', target);
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(message) });
    }
    expect(await headroom('restore', work.folder, '--data-dir', target)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('must be a readable file, got EISDIR'),
    });
    const newLog = await headroom(
      'restore',
      file('quiet.backup'),
      '--data-dir',
      target,
      '--new-log',
      '--json',
    );
    expect(newLog.code).toBe(0);
    expect(Object.keys((JSON.parse(newLog.stdout) as { rows: object }).rows)).toEqual([
      'policies',
      'demand',
      'demand_series',
      'forecasts',
      'decisions',
    ]);
  },
  TIMEOUT_MS,
);

test(
  'who cannot be reached, or does not let in, ends the command with its code',
  async () => {
    const [port] = await freePorts(1);
    const away = await headroom('backup', file('x'), '--url', `http://127.0.0.1:${port}`);
    expect(away).toMatchObject({ code: 3, stderr: expect.stringContaining('must answer, got ECONNREFUSED') });
    await startOn(work.dataDir);
    const stranger = await headroom('backup', file('x'), '--url', url);
    expect(stranger).toMatchObject({ code: 4, stderr: expect.stringContaining('scope backup:read') });
    await stop();
  },
  TIMEOUT_MS,
);
