// npm run bench:loop [-- --quick | --seeds 1,2 --systems a,c2 --lanes 2 --attempts 1 --report --simulate --docs]
// The same load under Headroom, the HPA rule and the full fleet. A cell is one system on one seed, and takes five
// minutes; a finished one is kept in bench/results/loop/ and not run again while settings and code are the same.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Cell, CellResult } from './cell-result.js';
import { CellRunner, finished, MAX_ATTEMPTS, nameOf, undisturbed } from './cells.js';
import { codeKey } from './code-key.js';
import { aligned, cellTable, docsTables, markdown, ratioTable, systemTable } from './report.js';
import { OTHER_SEEDS, simulatedTable } from './simulate.js';
import { PROJECT_DIR } from '../report.js';
import { SYSTEMS, type System } from './setting.js';

const ALL_SEEDS = [1, 2, 3, 4, 5];
const MARK = '<!-- loop: written by npm run bench:loop -- --docs -->';
const SIMULATED_MARK = '<!-- loop: written by npm run bench:loop -- --simulate --docs -->';
const USAGE = 2;
const INTERRUPTED = 130;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    seeds: { type: 'string' },
    systems: { type: 'string' },
    lanes: { type: 'string', default: '1' },
    /** Of a cell that the machine disturbs. */
    attempts: { type: 'string', default: String(MAX_ATTEMPTS) },
    /** Runs nothing: the table of what is there. */
    report: { type: 'boolean', default: false },
    /** Runs no program: the rules in simulation, on other seeds. */
    simulate: { type: 'boolean', default: false },
    docs: { type: 'boolean', default: false },
    /** Takes what is there whatever code it was measured on. */
    key: { type: 'string' },
  },
});

const note = (line: string) =>
  void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);

/** Between the two marks of docs/benchmarks/loop.md. */
function replaceInDocs(mark: string, text: string): void {
  const file = join(PROJECT_DIR, 'docs', 'benchmarks', 'loop.md');
  const [before, , after] = readFileSync(file, 'utf8').split(mark);
  if (before === undefined || after === undefined)
    throw new Error(`${file}: the mark "${mark}" twice, got it not`);
  writeFileSync(file, `${before}${mark}\n\n${text}\n\n${mark}${after}`);
}

function wantedCells(): Cell[] {
  const seeds = values.quick ? [1] : (values.seeds?.split(',').map(Number) ?? ALL_SEEDS);
  const systems = (values.systems?.split(',') ?? SYSTEMS) as System[];
  const unknown = systems.find((system) => !SYSTEMS.includes(system));
  if (unknown !== undefined || seeds.some((seed) => !Number.isSafeInteger(seed))) {
    note(
      `bench:loop: --systems of ${SYSTEMS.join()} and --seeds of whole numbers, got ${unknown ?? values.seeds}`,
    );
    process.exit(USAGE);
  }
  // Seed by seed, so that whatever is finished can be compared; the constant rate says the same for every seed.
  return seeds.flatMap((seed, i) =>
    systems.filter((system) => system !== 'hold' || i === 0).map((system) => ({ system, seed })),
  );
}

if (values.simulate) {
  const seeds = values.seeds?.split(',').map(Number) ?? OTHER_SEEDS;
  const table = simulatedTable(seeds, note);
  process.stdout.write(`\n${aligned(table)}\n`);
  if (values.docs)
    replaceInDocs(SIMULATED_MARK, `Means over seeds ${seeds.join(', ')}.\n\n${markdown(table)}`);
  process.exit(0);
}
const cells = wantedCells();
const key = values.key ?? codeKey();
const results = () => cells.map((cell) => finished(cell, key)).filter((result) => result !== undefined);

function publish(): void {
  const done = results();
  if (done.length === 0) return;
  const sound = done.filter(undisturbed);
  if (sound.length < done.length)
    note(`${done.length - sound.length} disturbed cells are left out of the means`);
  for (const table of [systemTable(sound), ratioTable(sound), ratioTable(sound, 'a2'), cellTable(done)])
    process.stdout.write(`\n${aligned(table)}\n`);
  const kept = done.map((result) => ({ ...result, ticks: undefined }));
  writeFileSync(
    join(PROJECT_DIR, 'bench', 'results', 'loop.json'),
    `${JSON.stringify(kept, undefined, 2)}\n`,
  );
  if (values.docs) replaceInDocs(MARK, docsTables({ sound, all: done }));
}

const runner = new CellRunner(key, note);
const isSound = (cell: Cell) => {
  const result = finished(cell, key);
  return result !== undefined && undisturbed(result);
};
const missing = values.report ? [] : cells.filter((cell) => !isSound(cell));
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stopped = true;
    runner.stop();
  });
}
note(`bench:loop ${key}: ${cells.length} cells, ${missing.length} to run`);
let left = missing.length;
await runner.run(missing, {
  lanes: Number(values.lanes),
  attempts: Number(values.attempts),
  onEnd: (cell) => {
    const { score, workerSeconds, eventLoopDelayMs } = finished(cell, key) as CellResult;
    const figures = [
      `${(100 * score.violatingShare).toFixed(2)} % violating`,
      `${score.violationSeconds} violation s`,
      `${workerSeconds.toFixed(0)} worker-s`,
      `loop p99 ${eventLoopDelayMs.p99.toFixed(1)} ms`,
      `sender late p99 ${score.senderLatenessMs.p99.toFixed(1)} ms`,
    ];
    note(`${nameOf(cell)}: ${figures.join(', ')}; ${--left} left`);
  },
});
publish();
process.exit(stopped ? INTERRUPTED : 0);
