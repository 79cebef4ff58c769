import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { openLocalIdentity } from '#adapters/identity';

const projectDir = join(import.meta.dirname, '..', '..', '..');
const bin = join(projectDir, 'apps', 'headroom', 'bin.js');
let folder: string;
let server: Server;
let url: string;
let onRequest = () => {};
let status = 200;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headroom-cli-'));
  writeFileSync(
    join(folder, 'day.csv'),
    'timestamp,value\n2026-01-01T00:00,10\n2026-01-01T00:01,\n2026-01-01T00:02,20\n',
  );
  writeFileSync(join(folder, 'bad.csv'), 'timestamp,value\n2026-01-01,1\n2026-01-02,-1\n');
  writeFileSync(join(folder, 'bad.yaml'), 'apy: {}\n');
  server = createServer((_, reply) => {
    reply.writeHead(status).end();
    onRequest();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  // As a test that failed in the middle leaves things.
  for (const child of children.splice(0)) child.kill('SIGKILL');
  [onRequest, status] = [() => {}, 200];
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true });
});

function start(args: string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: folder,
    env: { ...process.env, HEADROOM_DATA_DIR: join(folder, 'data'), ...environment },
  });
  children.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number, ...output }));
  return { child, ended };
}
const run = (...args: string[]) => start(args).ended;

describe('headroom', () => {
  test('help is 0, wrong usage 2', async () => {
    expect(await run('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('replay') });
    expect(await run('repaly')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean replay?'),
    });
    expect(await run('token')).toMatchObject({ code: 2 });
  });

  test('config check', async () => {
    expect(await run('config', 'check', join(projectDir, 'config', 'demo.yaml'))).toMatchObject({ code: 0 });
    expect(await run('config', 'check', 'bad.yaml')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'apy: must be a known key (did you mean api?), got "apy"\n',
    });
    const json = await run('config', 'check', 'none.yaml', '--json');
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, problems: [{ actual: 'ENOENT' }] });
  });

  test('a start without the brokers of its configuration is 3, and without its secret 2', async () => {
    const kafka = (more: string) => `eventLog: { kind: kafka, brokers: ['127.0.0.1:1']${more} }\n`;
    writeFileSync(join(folder, 'kafka.yaml'), kafka(''));
    writeFileSync(
      join(folder, 'secret.yaml'),
      kafka(', sasl: { mechanism: plain, username: headroom, passwordFile: nowhere }'),
    );
    expect(await run('start', '--config', 'kafka.yaml', '--data-dir', 'kafka')).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/a broker must answer, got .*eventLog\.brokers/),
    });
    expect(await run('start', '--config', 'secret.yaml', '--data-dir', 'kafka')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/eventLog\.sasl\.passwordFile: must be a readable file, got ENOENT/),
    });
  }, 120_000);

  test('token finds the key of the data directory', async () => {
    expect(await run('token', '--scope', 'pools:read')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('hint:'),
    });
    const opened = await openLocalIdentity(join(folder, 'data'), { create: true });
    const { code, stdout } = await run('token', '--scope', 'pools:read', '--for', '8h');
    expect(code).toBe(0);
    expect(opened.ok && (await opened.identity.verifyToken(stdout.trim()))).toMatchObject({
      ok: true,
      scopes: ['pools:read'],
    });
    expect(await run('token', '--scope', 'pool:read')).toMatchObject({ code: 2 });
    expect(await run('token', '--scope', 'all', '--for', '9d')).toMatchObject({ code: 2 });
  });

  test('token reads the data directory and the limit of the configuration', async () => {
    const opened = await openLocalIdentity(join(folder, 'own'), { create: true, tokenMaxS: 600 });
    writeFileSync(join(folder, 'own.yaml'), '{ dataDir: own, identity: { tokenMaxS: 600 } }\n');
    const own = (...args: string[]) =>
      start(['token', '--scope', 'all', '--config', 'own.yaml', ...args], { HEADROOM_DATA_DIR: '' }).ended;
    const { stdout } = await own();
    expect(opened.ok && (await opened.identity.verifyToken(stdout.trim()))).toMatchObject({ ok: true });
    expect(await own('--for', '601s')).toMatchObject({
      code: 2,
      stderr:
        'headroom: --for: must be a duration from 1s to 600s (identity.tokenMaxS), got 601s\n' +
        '  hint: write 90s, 30m or 8h\n',
    });
    expect(await run('token', '--scope', 'all', '--config', 'bad.yaml')).toMatchObject({
      code: 2,
      stderr: 'apy: must be a known key (did you mean api?), got "apy"\n',
    });
  });
});

describe('a key that processes share', () => {
  test('token signs with identity.keyFile; key prints its public half, with which nothing is signed', async () => {
    const made = await openLocalIdentity(join(folder, 'shared'), { create: true });
    writeFileSync(join(folder, 'shared.yaml'), '{ identity: { keyFile: shared/identity-key.json } }\n');
    const signed = await run('token', '--scope', 'pools:read', '--config', 'shared.yaml');
    expect(made.ok && (await made.identity.verifyToken(signed.stdout.trim()))).toMatchObject({ ok: true });
    const { code, stdout } = await run('key', '--config', 'shared.yaml');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(expect.not.objectContaining({ d: expect.anything() }));
    writeFileSync(join(folder, 'public.json'), stdout);
    writeFileSync(join(folder, 'public.yaml'), '{ identity: { keyFile: public.json } }\n');
    expect(await run('token', '--scope', 'pools:read', '--config', 'public.yaml')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^headroom: identity\.keyFile .*public\.json: must be a private key to sign/,
      ),
    });
    expect(await run('key', '--data-dir', 'nowhere')).toMatchObject({ code: 2 });
  });
});

describe('headroom replay', () => {
  const replay = (...args: string[]) => ['replay', 'day.csv', '--pool', 'web', '--url', url, ...args];

  test('sends the trace and sums up', async () => {
    const { code, stdout } = await run(...replay('--speed', '200', '--peak-rps', '100', '--json'));
    expect(code).toBe(0);
    const summary = JSON.parse(stdout) as { sent: number; ok: number; missingBuckets: number };
    expect(summary).toMatchObject({ outcome: 'finished', missingBuckets: 1, ok: summary.sent });
    // 0.3 s at 50/s and 0.3 s at 100/s: 45 on average, ± 5 standard deviations.
    expect(Math.abs(summary.sent - 45)).toBeLessThan(5 * Math.sqrt(45));
  });

  test('a replay without one good answer is a failure', async () => {
    status = 503;
    const { code, stderr } = await run(...replay('--speed', '1000', '--peak-rps', '100'));
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^headroom: replay: at least one request must be answered with success, got none of \d+$/m,
      ),
    });
  });

  test('Ctrl-C prints the summary so far and exits with 130', async () => {
    const { child, ended } = start(replay());
    onRequest = () => child.kill('SIGINT');
    expect(await ended).toMatchObject({
      code: 130,
      stdout: expect.stringContaining('replay of pool web stopped'),
    });
  });

  test('a bad trace, window or pool is 2; no router is 3', async () => {
    expect(await run('replay', 'bad.csv', '--pool', 'web')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('line 3: value must'),
    });
    expect(await run(...replay('--from', '2027-01-01'))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('window:'),
    });
    expect(await run('replay', 'day.csv', '--pool', 'WEB')).toMatchObject({ code: 2 });
    expect(await run('replay', 'day.csv', '--pool', 'web', '--url', 'http://127.0.0.1:1')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('npm start'),
    });
  });
});
