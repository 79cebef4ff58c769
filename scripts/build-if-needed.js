// Builds dist/ when a source is newer than the last successful build (or was removed since).
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'dist', '.built');
const SOURCES = ['apps', 'libs', 'handlers', 'acceptance', 'bench', 'parts'];
const CONFIGS = ['tsconfig.json', 'package-lock.json'];

/** Builds if needed; exits the process with the compiler's code when the build fails. */
export function buildIfNeeded() {
  const listing = sourceListing();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === listing) return;
  process.stderr.write('headroom: building …\n');
  removeOrphans();
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const built = spawnSync(npm, ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (built.status !== 0) process.exit(built.status ?? 1);
  writeFileSync(stamp, listing);
}

function sourceListing() {
  const files = SOURCES.flatMap((folder) => listFiles(join(root, folder))).filter((f) =>
    /\.(ts|json)$/.test(f),
  );
  return [...files, ...CONFIGS.map((f) => join(root, f))]
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

// tsc leaves the output of a deleted source behind; a stale spec or module must not run.
function removeOrphans() {
  for (const file of SOURCES.flatMap((folder) => listFiles(join(root, 'dist', folder)))) {
    const source = join(root, file.slice(join(root, 'dist').length).replace(/\.js(\.map)?$/, '.ts'));
    if (/\.js(\.map)?$/.test(file) && !existsSync(source)) rmSync(file);
  }
}
