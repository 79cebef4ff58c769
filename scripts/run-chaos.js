// npm run test:chaos: builds what changed, then lets faults strike. Arguments go to the suite; --docs also writes
// docs/benchmarks/chaos.md.
import { spawnSync } from 'node:child_process';
import { buildIfNeeded } from './build-if-needed.js';

buildIfNeeded();
// kafkajs causes it, and it means nothing.
const QUIET = '--disable-warning=TimeoutNegativeWarning';
const args = process.argv.slice(2);
const run = spawnSync(process.execPath, [QUIET, 'dist/acceptance/chaos/main.js', ...args], {
  stdio: 'inherit',
});
if (run.status === 0 && args.includes('--docs')) {
  spawnSync('npx', ['prettier', '--log-level', 'warn', '--write', 'docs/benchmarks/chaos.md'], {
    stdio: 'inherit',
  });
}
process.exit(run.status ?? 1);
