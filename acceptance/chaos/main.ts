import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectDir, Workplace } from '../headroom-process.js';
import { page } from './page.js';
import { run, type Outcome, type Plan } from './run.js';

// npm run test:chaos [-- --seed N --faults N --executions N --docs --results FILE]. Exit codes: 1 a check failed, 2 wrong
// usage.

const DEFAULT = { faults: 10, executions: 100_000 };
const MAX_SEED = 2 ** 32 - 1;

const say = (line: string): void => void process.stdout.write(`chaos: ${line}\n`);

function whole(name: string, text: string | undefined, fallback: number, min: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isSafeInteger(value) && value >= min && value <= MAX_SEED) return value;
  say(`--${name}: a whole number from ${min} to ${MAX_SEED}, got ${text}`);
  process.exit(2);
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    faults: { type: 'string' },
    executions: { type: 'string' },
    docs: { type: 'boolean', default: false },
    results: { type: 'string' },
  },
});
const plan: Plan = {
  seed: whole('seed', values.seed, Math.floor(Math.random() * MAX_SEED), 0),
  faults: whole('faults', values.faults, DEFAULT.faults, 1),
  executions: whole('executions', values.executions, DEFAULT.executions, 1),
};
const command = `npm run test:chaos -- --seed ${plan.seed} --faults ${plan.faults} --executions ${plan.executions}`;
say(command);

const work = new Workplace();
// Its processes have groups of their own.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => void work.clean().finally(() => process.exit(code)));
try {
  const outcome = await run(plan, work, say);
  report(outcome);
} catch (error) {
  say(`FAILED: ${(error as Error).message}`);
  keep({ numPassedTests: 0, numFailedTests: 1 });
  process.exitCode = 1;
} finally {
  await work.clean();
}

function report(outcome: Outcome): void {
  const failed = outcome.checks.filter(([, complaints]) => complaints.length > 0).length;
  const passed = outcome.checks.length - failed;
  keep({ numPassedTests: passed, numFailedTests: failed });
  if (values.docs && failed === 0)
    writeFileSync(join(projectDir, 'docs', 'benchmarks', 'chaos.md'), page(outcome, command));
  say(`${passed} checks passed, ${failed} failed; ${command}`);
  process.exitCode = failed === 0 ? 0 : 1;
}

/** As Jest would tell it, for whoever sums up all suites. */
function keep(counts: { numPassedTests: number; numFailedTests: number }): void {
  if (values.results === undefined) return;
  mkdirSync(dirname(values.results), { recursive: true });
  writeFileSync(values.results, JSON.stringify(counts));
}
