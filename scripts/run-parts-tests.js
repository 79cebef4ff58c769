// npm run test:parts: builds what changed, then runs the suites that need a real server. `--only kafka,redis` runs those
// that use one of these; other arguments go to Jest. A part that is not on this machine fails its suites.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildIfNeeded } from './build-if-needed.js';

const ONLY = '--only';
const args = process.argv
  .slice(2)
  .flatMap((arg) => (arg.startsWith(`${ONLY}=`) ? [ONLY, arg.slice(ONLY.length + 1)] : [arg]));
const at = args.indexOf(ONLY);
const [, names = ''] = at === -1 ? [] : args.splice(at, 2);

buildIfNeeded();
const { parts } = await import('../dist/parts/every-part.js');
const known = parts.map(({ name }) => name);
const wanted = at === -1 ? known : names.split(',');
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) refuse(`${ONLY} takes some of ${known.join(',')}, got ${unknown.join(',')}`);

const suites = readdirSync('dist', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.parts.js'))
  .map((file) => ({ file: join(process.cwd(), 'dist', file), uses: partsUsedBy(join('dist', file)) }));
const useless = suites.filter(({ uses }) => uses.size === 0);
if (useless.length > 0)
  refuse(
    `a suite must start a part from '#parts/…', got ${useless.map(({ file }) => file)}; else name it *.spec.ts`,
  );

const chosen = suites.filter(({ uses }) => wanted.some((name) => uses.has(name)));
const jest = ['scripts/run-tests.js', '--config', 'jest.parts.config.js'];
const only = at === -1 ? [] : chosen.map(({ file }) => `--testMatch=${file}`);
const run = spawnSync(process.execPath, [...jest, ...only, ...args], { stdio: 'inherit' });
process.exit(run.status ?? 1);

/** By what it imports, itself or through a file beside it: that nobody can forget to write. */
function partsUsedBy(file, seen = new Set()) {
  if (seen.has(file)) return new Set();
  seen.add(file);
  const part = known.find((name) => file === fileOfPart(name));
  if (part !== undefined) return new Set([part]);
  const imports = [...readFileSync(file, 'utf8').matchAll(/from '(#parts\/|\.\.?\/)([^']+)'/g)];
  const files = imports.map(([, root, rest]) =>
    root === '#parts/' ? fileOfPart(rest) : join(dirname(file), root + rest),
  );
  return new Set(files.flatMap((path) => [...partsUsedBy(path, seen)]));
}

function fileOfPart(name) {
  return join('dist', 'parts', `${name}.js`);
}

function refuse(why) {
  process.stderr.write(`test:parts: ${why}\n`);
  process.exit(2);
}
