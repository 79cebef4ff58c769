// Builds dist/ when a source is newer than the last successful build (or was removed since).
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const CONFIGS = ['tsconfig.json', 'tsconfig.program.json', 'package-lock.json'];
const PROGRAM = ['apps', 'libs', 'handlers'];
const TESTS = /\.(spec|contract|parts)\.ts$/;

/** What can be built: what `npm start` runs, which takes two thirds of the time, or all there is. */
const BUILDS = {
  program: { script: 'build:program', folders: PROGRAM, isSource: (file) => !TESTS.test(file) },
  everything: {
    script: 'build',
    folders: [...PROGRAM, 'acceptance', 'bench', 'parts'],
    isSource: () => true,
  },
};

/** Builds if needed; exits the process with the compiler's code when the build fails. */
export function buildIfNeeded(what = 'everything') {
  const { script } = BUILDS[what];
  if (isBuilt(what)) return;
  process.stderr.write('headroom: building …\n');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const built = spawnSync(npm, ['run', '--silent', script], { cwd: root, stdio: ['ignore', 2, 2] });
  if (built.status !== 0) process.exit(built.status ?? 1);
}

/** What was built, so that the next command that needs it does not build it again. */
export function rememberBuild(what) {
  for (const done of what === 'everything' ? ['program', 'everything'] : ['program'])
    writeFileSync(stampOf(done), sourceListing(BUILDS[done]));
}

function isBuilt(what) {
  const stamp = stampOf(what);
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === sourceListing(BUILDS[what]);
}

function stampOf(what) {
  return join(root, 'dist', `.built-${what}`);
}

function sourceListing({ folders, isSource }) {
  const files = folders
    .flatMap((folder) => listFiles(join(root, folder)))
    .filter((file) => /\.(ts|json)$/.test(file) && isSource(file));
  return [...files, ...CONFIGS.map((file) => join(root, file))]
    .map((file) => `${file.slice(root.length)} ${statSync(file).mtimeMs}`)
    .sort()
    .join('\n');
}

function listFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** tsc leaves the output of a deleted source behind; a stale spec or module must not run. */
export function removeOrphans() {
  for (const file of BUILDS.everything.folders.flatMap((folder) => listFiles(join(root, 'dist', folder)))) {
    const source = join(root, file.slice(join(root, 'dist').length).replace(/\.js(\.map)?$/, '.ts'));
    if (/\.js(\.map)?$/.test(file) && !existsSync(source)) rmSync(file);
  }
}
