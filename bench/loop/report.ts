import { machine } from '../report.js';
import type { CellResult } from './cell-result.js';
import { OBJECTIVE, SYSTEM_NAMES, type System } from './setting.js';
import { meanOf, ratioOf, resultOf, seedsOf, systemsOf, type Interval } from './summary.js';

type Table = string[][];

/** One row per system: means over its seeds, ± half of the 95 % interval. */
export function systemTable(results: CellResult[]): Table {
  const head = [
    'system',
    'seeds',
    'requests',
    `over ${OBJECTIVE.responseMs} ms or failed, %`,
    'violation seconds',
    'worker-seconds',
    'errors',
    'p95 / p99 ms',
    'loop delay p99 ms',
    'sender late p99 ms',
  ];
  const rows = systemsOf(results).map((system) => {
    const own = results.filter(({ cell }) => cell.system === system);
    const mean = (figure: (result: CellResult) => number, digits: number) =>
      plusMinus(meanOf(own.map(figure)), digits);
    const plain = (figure: (result: CellResult) => number) => meanOf(own.map(figure)).middle.toFixed(1);
    return [
      SYSTEM_NAMES[system],
      String(own.length),
      mean(({ score }) => score.requests, 0),
      mean(({ score }) => 100 * score.violatingShare, 2),
      mean(({ score }) => score.violationSeconds, 1),
      mean(({ workerSeconds }) => workerSeconds, 0),
      String(own.reduce((sum, { score }) => sum + score.errors, 0)),
      `${plain(({ score }) => score.latencyMs.p95)} / ${plain(({ score }) => score.latencyMs.p99)}`,
      plain(({ eventLoopDelayMs }) => eventLoopDelayMs.p99),
      plain(({ score }) => score.senderLatenessMs.p99),
    ];
  });
  return [head, ...rows];
}

/** One system against each of the others, paired by seed: geometric means and 95 % intervals. */
export function ratioTable(results: CellResult[], of: System = 'a'): Table {
  const head = [
    `${SYSTEM_NAMES[of]} ÷`,
    'seeds',
    'violating requests',
    'beyond the full fleet’s',
    'worker-seconds',
  ];
  const others = systemsOf(results).filter((system) => !['a', 'a2', 'hold'].includes(system));
  const rows = others.flatMap((to) => {
    const violating = ratioOf(results, { of, to, figure: ({ score }) => score.violating });
    const paid = ratioOf(results, { of, to, figure: ({ workerSeconds }) => workerSeconds });
    if (violating === undefined || paid === undefined) return [];
    const excess = to === 'd' ? '–' : excessRatio(results, { of, to });
    return [[SYSTEM_NAMES[to], String(violating.seeds), between(violating), excess, between(paid)]];
  });
  return [head, ...rows];
}

/**
 * Sums over the seeds of what is above the full fleet's share: what scaling could have avoided. Not a mean of ratios,
 * because chance can make a difference of one seed zero or negative.
 */
function excessRatio(results: CellResult[], { of, to }: { of: System; to: System }): string {
  const seeds = seedsOf(results, of, to, 'd');
  if (seeds.length === 0) return '–';
  const excess = (system: System) =>
    seeds.reduce((sum, seed) => {
      const [own, full] = [system, 'd' as const].map((name) => resultOf(results, name, seed)?.score);
      return sum + (own?.violating ?? 0) - (full?.violatingShare ?? 0) * (own?.requests ?? 0);
    }, 0);
  const [ours, theirs] = [excess(of), excess(to)];
  return `${(ours / theirs).toFixed(2)} (${ours.toFixed(0)} ÷ ${theirs.toFixed(0)})`;
}

/** Every cell, seed by seed. */
export function cellTable(results: CellResult[]): Table {
  const head = [
    'seed',
    'system',
    'requests',
    'violating',
    'violation s',
    'worker-s',
    'errors',
    'loop delay p99 / max ms',
    'late p99 / max ms',
    'load average',
    'HPA settings',
  ];
  const rows = results.map(({ cell, score, workerSeconds, eventLoopDelayMs, loadAverage, tuned }) => [
    String(cell.seed),
    cell.system,
    String(score.requests),
    String(score.violating),
    String(score.violationSeconds),
    workerSeconds.toFixed(0),
    String(score.errors),
    `${eventLoopDelayMs.p99.toFixed(1)} / ${eventLoopDelayMs.max.toFixed(0)}`,
    `${score.senderLatenessMs.p99.toFixed(1)} / ${score.senderLatenessMs.max.toFixed(0)}`,
    loadAverage.map((load) => load.toFixed(1)).join(' → '),
    tuned === undefined
      ? ''
      : `${tuned.chosen.target}, ${Number(tuned.chosen.stabilisationS.toFixed(2))} s, ${tuned.chosen.tolerance}`,
  ]);
  return [head, ...rows];
}

export function aligned(table: Table): string {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => (row[column] ?? '').length)),
  );
  return table
    .map((row) => row.map((text, column) => text.padEnd(widths[column] as number)).join('  '))
    .join('\n');
}

export function markdown([head = [], ...rows]: Table): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** The tables of docs/benchmarks/loop.md. */
export function docsTables({ sound, all }: { sound: CellResult[]; all: CellResult[] }): string {
  const days = [...new Set(all.map(({ atIso }) => atIso.slice(0, 10)))].sort().join(', ');
  return [
    `Measured ${days} on ${machine()}. Means over the seeds ± half of their 95 % interval (t).`,
    markdown(systemTable(sound)),
    'Paired by seed: geometric mean of the ratios and its 95 % interval.',
    markdown(ratioTable(sound)),
    markdown(ratioTable(sound, 'a2')),
    'Every cell:',
    markdown(cellTable(all)),
  ].join('\n\n');
}

function plusMinus({ middle, high }: Interval, digits: number): string {
  const half = high === undefined ? '' : ` ± ${(high - middle).toFixed(digits)}`;
  return `${middle.toFixed(digits)}${half}`;
}

function between({ middle, low, high }: Interval): string {
  const range = low === undefined || high === undefined ? '' : ` (${low.toFixed(2)}–${high.toFixed(2)})`;
  return `${middle.toFixed(2)}${range}`;
}
