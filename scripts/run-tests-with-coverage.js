// npm run test:coverage: the whole suite, then one figure over everything that ran. V8 counts in every process and
// thread (Jest, the program under test, its workers); c8 merges the counts and maps them to the TypeScript sources.
// `--parts` runs the suites on real servers as well, and asks for the minimum, which counts with them, and for their time.
// `--results DIR` keeps Jest's results there.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const RAW = 'coverage/raw';
const MINIMUM_PERCENT = '90';
/** Whoever waits for a change to be checked waits for the suites on real servers. */
const PARTS_WITHIN_S = 12 * 60;
const { values } = parseArgs({ options: { parts: { type: 'boolean' }, results: { type: 'string' } } });

const run = (args, env) =>
  spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1;
const resultsIn = (name) =>
  values.results === undefined ? [] : ['--json', `--outputFile=${join(values.results, name)}`];
const counted = (script, name) => run([script, ...resultsIn(name)], { NODE_V8_COVERAGE: RAW });

/** The status of what runs, which has failed as well when it took longer. That it ends is Jest's: every test has its time. */
function inTime(name, withinS, work) {
  const begunMs = performance.now();
  const status = work();
  const tookS = Math.round((performance.now() - begunMs) / 1000);
  process.stdout.write(`${name}: ${tookS} s\n`);
  if (tookS <= withinS) return status;
  process.stderr.write(
    `${name}: must end within ${withinS} s, took ${tookS} s; see the times of the suites\n`,
  );
  return status || 1;
}

rmSync('coverage', { recursive: true, force: true });
const tests = counted('scripts/run-tests.js', 'tests.json');
const parts = values.parts
  ? inTime('test:parts', PARTS_WITHIN_S, () => counted('scripts/run-parts-tests.js', 'parts.json'))
  : 0;
const folders = ['apps', 'libs'].flatMap((folder) => [`${folder}/**`, `dist/${folder}/**`]);
const minimum = [
  '--check-coverage',
  `--lines=${MINIMUM_PERCENT}`,
  `--branches=${MINIMUM_PERCENT}`,
  '--functions=0',
  '--statements=0',
];
const report = run([
  'node_modules/c8/bin/c8.js',
  'report',
  `--temp-directory=${RAW}`,
  '--reporter=text',
  '--reporter=lcovonly',
  ...folders.map((folder) => `--include=${folder}`),
  '--exclude=**/*.spec.*',
  '--exclude=**/*.contract.*',
  '--exclude=**/*.parts.*',
  ...(values.parts ? minimum : []),
]);
process.exit(tests || parts || report);
