#!/usr/bin/env -S node --max-semi-space-size=4 --disable-warning=TimeoutNegativeWarning
// Starts the compiled program: on the Node of package.json's `engines`, and built when a source changed. Young
// generations of 8 MB instead of 64 in each of its threads (docs/benchmarks/start.md), and without a warning that
// kafkajs causes and that means nothing; `npm start` says so too.
// Plain JavaScript that an older Node can read, because its first task is to leave an older Node.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const packagedNode = join(root, 'node_modules', '.bin', 'node');
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const USAGE = 2;

const needed = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.replace('>=', '');

if (isAtLeast(process.versions.node, needed)) await run();
else if (process.env.HEADROOM_REEXECUTED === undefined && existsSync(packagedNode)) reexecute();
else {
  process.stderr.write(`headroom: Node: at least ${needed}, got ${process.versions.node}\n  hint: npm ci\n`);
  process.exitCode = USAGE;
}

async function run() {
  exitWithLauncher();
  const { buildIfNeeded } = await import('../../scripts/build-if-needed.js');
  buildIfNeeded('program');
  await import('../../dist/apps/headroom/main.js');
}

function reexecute() {
  const child = spawn(packagedNode, [...process.execArgv, ...process.argv.slice(1)], {
    // The channel tells the child when this process is gone, also after kill -9.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, HEADROOM_REEXECUTED: '1' },
  });
  // A terminal sends Ctrl-C to both; the program takes two signals in quick succession as one.
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded);
  });
}

function exitWithLauncher() {
  if (process.env.HEADROOM_REEXECUTED === undefined || process.channel === undefined) return;
  delete process.env.HEADROOM_REEXECUTED;
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel.unref();
}

function isAtLeast(actual, minimum) {
  const [major, minor] = actual.split('.').map(Number);
  const [neededMajor, neededMinor = 0] = minimum.split('.').map(Number);
  return major > neededMajor || (major === neededMajor && minor >= neededMinor);
}
