// npm run bench:<name>: builds what changed, then runs the bench with the flags it measures under. Arguments go to the
// bench; --docs also writes its table to docs/benchmarks/.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { buildIfNeeded } from './build-if-needed.js';

// Memory is measured after a collection; 10,000 pools need more than the default heap.
const FLAGS = { decide: ['--expose-gc', '--max-old-space-size=12288'] };

const [name, ...args] = process.argv.slice(2);
buildIfNeeded();
const entry = `dist/bench/${name}/main.js`;
if (!existsSync(entry)) {
  process.stderr.write(`bench: one of the folders of bench/, got ${name}\n`);
  process.exit(2);
}
const run = spawnSync(process.execPath, [...(FLAGS[name] ?? []), entry, ...args], { stdio: 'inherit' });
if (run.status === 0 && args.includes('--docs')) {
  spawnSync('npx', ['prettier', '--log-level', 'warn', '--write', `docs/benchmarks/${name}.md`], {
    stdio: 'inherit',
  });
}
process.exit(run.status ?? 1);
