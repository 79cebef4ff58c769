// npm run bench:start: from `npm start` to ready, what it takes of the memory, and how it stops. Linux only (/proc).
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { median, progress, PROJECT_DIR, publish } from '../report.js';
import { writeConfig } from './config.js';
import { Started } from './started.js';

const ARGUMENTS = new Set(process.argv.slice(2));
const RUNS = ARGUMENTS.has('--quick') ? 1 : 5;
const BUILDS = ARGUMENTS.has('--quick') ? 0 : 3;
const WORKERS = 3;
/** Memory is read when the load has run for so long. */
const SETTLED_MS = 10_000;
const SOURCES = ['apps', 'libs', 'handlers', 'acceptance', 'bench', 'scripts'];
const FILES = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.program.json',
  'nest-cli.json',
];

interface Run {
  readyMs: number;
  workersReadyMs: number;
  stopMs: number;
  programRssMb: number;
  workerRssMb: number;
  /** Program and workers, without npm and the launcher. */
  totalRssMb: number;
  totalPssMb: number;
  launcherRssMb: number;
}

async function run(dataDir: string): Promise<Run> {
  const config = `${dataDir}.yaml`;
  await writeConfig(config, { workers: WORKERS });
  const started = new Started({
    folder: PROJECT_DIR,
    env: { ...process.env, HEADROOM_DATA_DIR: dataDir, HEADROOM_CONFIG: config },
  });
  try {
    return await measure(started);
  } finally {
    started.kill();
  }
}

async function measure(started: Started): Promise<Run> {
  const readyMs = await started.ready();
  const workersReadyMs = await started.workersReady(WORKERS);
  await delay(SETTLED_MS);
  const { program, workers, launchers } = started.processes();
  if (workers.length !== WORKERS)
    throw new Error(`bench:start: ${WORKERS} workers must run, got ${workers.length}`);
  const stopMs = await started.stop();
  const sum = (figures: number[]) => figures.reduce((total, figure) => total + figure, 0);
  return {
    readyMs,
    workersReadyMs,
    stopMs,
    programRssMb: program.rssMb,
    workerRssMb: sum(workers.map(({ rssMb }) => rssMb)) / WORKERS,
    totalRssMb: sum([program, ...workers].map(({ rssMb }) => rssMb)),
    totalPssMb: sum([program, ...workers].map(({ pssMb }) => pssMb)),
    launcherRssMb: sum(launchers.map(({ rssMb }) => rssMb)),
  };
}

/** Seconds of a build from nothing, in a copy of the sources. */
function build(folder: string): number {
  const copy = join(folder, 'build');
  for (const name of [...SOURCES, ...FILES])
    cpSync(join(PROJECT_DIR, name), join(copy, name), { recursive: true });
  symlinkSync(join(PROJECT_DIR, 'node_modules'), join(copy, 'node_modules'));
  const startMs = performance.now();
  const built = spawnSync(process.execPath, ['apps/headroom/bin.js', '--version'], { cwd: copy });
  const seconds = (performance.now() - startMs) / 1000;
  if (built.status !== 0) throw new Error(`bench:start: the build must end, got ${built.stderr.toString()}`);
  rmSync(copy, { recursive: true });
  return seconds;
}

const folder = mkdtempSync(join(tmpdir(), 'headroom-bench-start-'));
const runs: Record<'fresh' | 'reopened', Run[]> = { fresh: [], reopened: [] };
const buildS: number[] = [];
try {
  for (let i = 0; i < BUILDS; i++) buildS.push(build(folder));
  for (let i = 0; i < RUNS; i++) {
    const dataDir = join(folder, `data-${i}`);
    for (const kind of ['fresh', 'reopened'] as const) {
      const figures = await run(dataDir);
      runs[kind].push(figures);
      progress(`${kind}: ready after ${figures.readyMs.toFixed(0)} ms, ${figures.totalRssMb.toFixed(0)} MB`);
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}

const seconds = (ms: number) => (ms / 1000).toFixed(2);
const FIGURES: Record<string, { of: keyof Run; text(value: number): string; target?: string }> = {
  'ready, s': { of: 'readyMs', text: seconds, target: '≤ 10' },
  'three workers ready, s': { of: 'workersReadyMs', text: seconds },
  'stop after Ctrl-C, s': { of: 'stopMs', text: seconds },
  'RSS of the program, MB': { of: 'programRssMb', text: (mb) => mb.toFixed(0) },
  'RSS of a worker, MB': { of: 'workerRssMb', text: (mb) => mb.toFixed(0) },
  'RSS of program and workers, MB': { of: 'totalRssMb', text: (mb) => mb.toFixed(0), target: '≤ 600' },
  'the same, shared pages counted once, MB': { of: 'totalPssMb', text: (mb) => mb.toFixed(0) },
  'RSS of npm and the launcher, MB': { of: 'launcherRssMb', text: (mb) => mb.toFixed(0) },
};
const rows = Object.entries(FIGURES).map(([name, { of, text, target }]) => [
  name,
  text(median(runs.fresh.map((run) => run[of]))),
  text(median(runs.reopened.map((run) => run[of]))),
  target ?? '',
]);
const builds = buildS.length === 0 ? [] : [['build from nothing, s', median(buildS).toFixed(1), '', '≤ 10']];
publish(
  {
    name: 'start',
    table: [['', 'new data directory', 'reopened', 'target'], ...rows, ...builds],
    runs: { ...runs, buildS },
  },
  { docs: ARGUMENTS.has('--docs') },
);
