import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';

// What every bench does with its figures: a table on standard output, all of them as JSON in the git-ignored
// bench/results/, and with --docs the table in docs/benchmarks/<name>.md, between its two marks.

// dist/bench/ → the folder of package.json
export const PROJECT_DIR = join(import.meta.dirname, '..', '..');

const MARK = (name: string) => `<!-- ${name}: written by npm run bench:${name} -- --docs -->`;

/** Column heads, then rows. */
type Table = (string | number)[][];

export interface Report {
  /** The bench, as in `npm run bench:<name>`. */
  name: string;
  table: Table;
  /** Further tables, each under a line about it. */
  more?: { about: string; table: Table }[];
  /** Everything that was measured, run by run. */
  runs: unknown;
}

/** Prints the table and keeps the figures; see above. */
export function publish(report: Report, { docs }: { docs: boolean }): void {
  const { name, table, more = [], runs } = report;
  process.stdout.write(`\n${aligned(table)}\n`);
  for (const one of more) process.stdout.write(`\n${one.about}\n${aligned(one.table)}\n`);
  const results = join(PROJECT_DIR, 'bench', 'results');
  mkdirSync(results, { recursive: true });
  const kept = { name, at: new Date().toISOString(), machine: machine(), table, runs };
  writeFileSync(join(results, `${name}.json`), `${JSON.stringify(kept, undefined, 2)}\n`);
  if (docs) writeTable(report);
}

/** The middle value; of an even number the mean of the two in the middle. NaN when there is none. */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? NaN) + high) / 2;
}

/** The value below which a share q of the values lies; NaN when there is none. Sorts its argument. */
export function quantile(values: Float64Array, q: number): number {
  values.sort();
  return values[Math.min(values.length - 1, Math.floor(q * values.length))] ?? NaN;
}

/** The class of machine, not its name. */
export function machine(): string {
  const [cpu] = cpus();
  const memoryGb = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${memoryGb} GB, Node ${process.versions.node}`;
}

export function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

function aligned(table: Table): string {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => String(row[column]).length)),
  );
  return table
    .map((row) => row.map((cell, column) => String(cell).padEnd(widths[column] as number)).join('  '))
    .join('\n');
}

function writeTable({ name, table, more = [] }: Report): void {
  const file = join(PROJECT_DIR, 'docs', 'benchmarks', `${name}.md`);
  const [before, , after] = readFileSync(file, 'utf8').split(MARK(name));
  if (before === undefined || after === undefined)
    throw new Error(`${file}: the mark "${MARK(name)}" twice, got it not`);
  const written = `Measured ${new Date().toISOString().slice(0, 10)} on ${machine()}; load average at the end ${loadavg()[1]?.toFixed(1)}.`;
  const tables = [markdown(table), ...more.flatMap((one) => [one.about, markdown(one.table)])];
  const text = [`${before}${MARK(name)}`, written, ...tables, `${MARK(name)}${after}`].join('\n\n');
  writeFileSync(file, text);
}

function markdown([head = [], ...rows]: Table): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
