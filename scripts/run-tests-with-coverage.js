// npm run test:coverage: the whole suite, then one figure over everything that ran. V8 counts in every process and
// thread (Jest, the program under test, its workers); c8 merges the counts and maps them to the TypeScript sources.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';

const RAW = 'coverage/raw';
const MINIMUM_PERCENT = '90';
const run = (args, env) =>
  spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...env } });

rmSync('coverage', { recursive: true, force: true });
const tests = run(['scripts/run-tests.js', ...process.argv.slice(2)], { NODE_V8_COVERAGE: RAW });
const folders = ['apps', 'libs'].flatMap((folder) => [`${folder}/**`, `dist/${folder}/**`]);
const report = run([
  'node_modules/c8/bin/c8.js',
  'report',
  `--temp-directory=${RAW}`,
  '--reporter=text',
  '--reporter=lcovonly',
  ...folders.map((folder) => `--include=${folder}`),
  '--exclude=**/*.spec.*',
  '--exclude=**/*.contract.*',
  '--check-coverage',
  `--lines=${MINIMUM_PERCENT}`,
  `--branches=${MINIMUM_PERCENT}`,
  '--functions=0',
  '--statements=0',
]);
process.exit(tests.status || report.status || 0);
