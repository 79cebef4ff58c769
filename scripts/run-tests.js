// npm test: build what changed, then run the compiled specs. Arguments go to Jest (`npm test -- demand`).
import { spawnSync } from 'node:child_process';
import { buildIfNeeded } from './build-if-needed.js';

buildIfNeeded();
const jest = [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  'node_modules/jest/bin/jest.js',
];
const run = spawnSync(process.execPath, [...jest, ...process.argv.slice(2)], { stdio: 'inherit' });
process.exit(run.status ?? 1);
