// npm run test:coverage: the whole suite, then one figure over everything that ran. V8 counts in every process and
// thread (Jest, the program under test, its workers); c8 merges the counts and maps them to the TypeScript sources.
// `--parts` runs the suites on real servers as well, and asks for the minimum, which counts with them. `--results DIR`
// keeps Jest's results there.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const RAW = 'coverage/raw';
const MINIMUM_PERCENT = '90';
const { values } = parseArgs({ options: { parts: { type: 'boolean' }, results: { type: 'string' } } });

const run = (args, env) =>
  spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1;
const resultsIn = (name) =>
  values.results === undefined ? [] : ['--json', `--outputFile=${join(values.results, name)}`];
const counted = (script, name) => run([script, ...resultsIn(name)], { NODE_V8_COVERAGE: RAW });

rmSync('coverage', { recursive: true, force: true });
const tests = counted('scripts/run-tests.js', 'tests.json');
const parts = values.parts ? counted('scripts/run-parts-tests.js', 'parts.json') : 0;
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
