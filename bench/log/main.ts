// npm run bench:log: the embedded event log, appended and consumed together.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, progress, publish } from '../report.js';
import type { Cell, CellRun } from './cell.js';

const RUNS = 3;
const ARGUMENTS = new Set(process.argv.slice(2));

const CELLS: Cell[] = [
  { engine: 'durable', partitions: 4, ratePerS: 10_000 },
  { engine: 'durable', partitions: 4, ratePerS: 20_000 },
  { engine: 'durable', partitions: 4, ratePerS: undefined },
  { engine: 'durable', partitions: 12, ratePerS: 10_000 },
  { engine: 'durable', partitions: 12, ratePerS: 20_000 },
  { engine: 'durable', partitions: 12, ratePerS: undefined },
  { engine: 'unsynced', partitions: 12, ratePerS: 20_000 },
  { engine: 'unsynced', partitions: 12, ratePerS: undefined },
  { engine: 'one-by-one', partitions: 12, ratePerS: undefined },
];
const NAMES: Record<Cell['engine'], string> = {
  durable: 'Headroom',
  unsynced: 'without fsync',
  'one-by-one': 'one record per transaction',
};

const folder = mkdtempSync(join(tmpdir(), 'headroom-bench-log-'));
/** Directories as they are after their first start. */
const madeOf = (engine: Cell['engine']) =>
  join(folder, engine === 'unsynced' ? 'made-unsynced' : 'made-durable');

async function inProcess(dataDir: string, cell: Cell & { onlyMake?: true }): Promise<CellRun> {
  const child = fork(join(import.meta.dirname, 'run-cell.js'), [dataDir, JSON.stringify(cell)]);
  const ended = once(child, 'exit');
  const [result] = (await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => {
      throw new Error(`bench:log: a run must end with its figures, got exit code ${code}`);
    }),
  ])) as [CellRun];
  await ended;
  return result;
}

async function runCell(cell: Cell): Promise<CellRun> {
  const dataDir = join(folder, 'run');
  cpSync(madeOf(cell.engine), dataDir, { recursive: true });
  try {
    return await inProcess(dataDir, cell);
  } finally {
    rmSync(dataDir, { recursive: true });
  }
}

for (const engine of ['durable', 'unsynced'] as const)
  await inProcess(madeOf(engine), { engine, partitions: 1, ratePerS: undefined, onlyMake: true });

const runs: { cell: Cell; run: CellRun }[] = [];
const wanted = ARGUMENTS.has('--quick') ? 1 : RUNS;
for (let i = 0; i < wanted; i++) {
  for (const cell of CELLS) {
    const run = await runCell(cell);
    runs.push({ cell, run });
    const rate = cell.ratePerS ?? 'max';
    progress(
      `${NAMES[cell.engine]}, ${cell.partitions} partitions, ${rate}/s: ${Math.round(run.consumedPerS)}/s`,
    );
  }
}

rmSync(folder, { recursive: true });

const head = [
  'log',
  'partitions',
  'offered /s',
  'appended /s',
  'consumed /s',
  'ack p50/p99 ms',
  'lag at end',
  'cleared ms',
  'RSS MB',
  'loop p99 ms',
  'CPU µs/record',
];
const rows = CELLS.map((cell) => {
  const of = (figure: keyof CellRun) =>
    median(runs.filter((run) => run.cell === cell).map(({ run }) => run[figure]));
  return [
    NAMES[cell.engine],
    cell.partitions,
    cell.ratePerS ?? 'max',
    of('appendedPerS').toFixed(0),
    of('consumedPerS').toFixed(0),
    `${of('ackMsP50').toFixed(1)}/${of('ackMsP99').toFixed(1)}`,
    of('lagRecords').toFixed(0),
    of('lagClearedMs').toFixed(0),
    of('rssMb').toFixed(0),
    of('loopDelayMsP99').toFixed(1),
    of('cpuUsPerRecord').toFixed(1),
  ];
});
publish({ name: 'log', table: [head, ...rows], runs }, { docs: ARGUMENTS.has('--docs') });
