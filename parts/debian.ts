import { existsSync } from 'node:fs';
import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { findCommand, run } from './command.js';
import { OBTAIN_WITHIN_MS, ToolMissing } from './part.js';

const ROOT_UID = 0;
const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_BEFORE = `${POLICY}.before-headroom-parts`;
/** invoke-rc.d(8): 101 is "action forbidden", so that no installed server starts by itself. */
const NOTHING_STARTS =
  '#!/bin/sh\n# Put here by npm run parts of headroom, for as long as it installs.\nexit 101\n';
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

let updated: Promise<string> | undefined;

/** Installs packages of Debian (or a descendant) as root, with nothing started. */
export async function installPackages(
  packages: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const wanted = packages.join(' ');
  if (findCommand('apt-get') === undefined)
    throw new ToolMissing(`apt-get must be on this machine, got nothing; install ${wanted} another way`);
  const uid = process.getuid?.();
  if (uid !== ROOT_UID)
    throw new ToolMissing(
      `apt-get must run as root, got user ${uid}; run \`apt-get install ${wanted}\` as root`,
    );
  const apt = (...args: string[]) =>
    run(['apt-get', '-qq', ...args], {
      withinMs: OBTAIN_WITHIN_MS,
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      say,
    });
  updated ??= apt('update');
  await updated;
  await withNothingStarting(() => apt('install', '-y', '--no-install-recommends', ...packages));
}

/** Whoever ends us meanwhile waits: apt-get would go on, and start what it installs. */
async function withNothingStarting(install: () => Promise<unknown>): Promise<void> {
  let ended: NodeJS.Signals | undefined;
  const remember = (signal: NodeJS.Signals): void => void (ended = signal);
  for (const signal of ENDING) process.on(signal, remember);
  try {
    await forbidStarts();
    await install();
  } finally {
    await restorePolicy();
    for (const signal of ENDING) process.off(signal, remember);
    if (ended !== undefined) process.kill(process.pid, ended);
  }
}

async function forbidStarts(): Promise<void> {
  // What a killed run of ours left is not the machine's own.
  if (existsSync(POLICY) && (await readFile(POLICY, 'utf8')) !== NOTHING_STARTS)
    await rename(POLICY, POLICY_BEFORE);
  await writeFile(POLICY, NOTHING_STARTS);
  await chmod(POLICY, 0o755);
}

async function restorePolicy(): Promise<void> {
  await rm(POLICY, { force: true });
  if (existsSync(POLICY_BEFORE)) await rename(POLICY_BEFORE, POLICY);
}
