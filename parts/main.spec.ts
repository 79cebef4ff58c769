import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';

// On a machine that has nothing: an empty cache and an empty PATH.

const projectDir = join(import.meta.dirname, '..', '..');
const cache = mkdtempSync(join(tmpdir(), 'headroom-parts-'));
afterAll(() => rmSync(cache, { recursive: true }));

function node(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { PATH: '', XDG_CACHE_HOME: cache };
  return spawnSync(process.execPath, args, { cwd: projectDir, env, encoding: 'utf8' });
}

test('npm run parts names in one sentence what cannot be obtained, and exits with 2', () => {
  const { status, stdout } = node('dist/parts/main.js', 'kafka', 'toxiproxy');
  expect(status).toBe(2);
  expect(stdout).toContain('kafka: not obtained: apt-get must be on this machine');
  expect(stdout).toContain('install default-jre-headless maven');
  expect(stdout).toContain('install golang-go');
});

test('a part that does not exist is refused with those that do', () => {
  const { status, stdout } = node('dist/parts/main.js', 'kafak');
  expect(status).toBe(2);
  expect(stdout).toMatch(/must be postgres, .*kafka.*, got kafak\n/);
});

test.each([
  ['kafka', 'startKafka'],
  ['redis', 'startRedis'],
  ['rabbitmq', 'startRabbitMq'],
  ['prometheus', 'startPrometheus'],
  ['toxiproxy', 'startToxiproxy'],
])('a suite that starts %s without it fails, and obtains nothing', (part, start) => {
  const program = `await (await import('#parts/${part}')).${start}()`;
  const { status, stderr } = node('--input-type=module', '--eval', program);
  expect(status).toBe(1);
  expect(stderr).toContain('must be on this machine, got nothing; run `npm run parts`');
});
