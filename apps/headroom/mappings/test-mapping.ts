import { extname } from 'node:path';
import { formatProblem } from '#adapters/input-problems';
import { phaseOf, type ExecutionEvent } from '#domain/events';
import { mapText, type Mapped, type Mapping } from '#domain/mapping';
import type { CommandContext } from '../commands/command-context.js';
import { loadConfig } from '../config-file.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { configFileOf } from '../locations.js';
import { knownMappings, readMapping } from './known-mappings.js';
import { readSamples } from './sample-records.js';

export interface TestMappingOptions {
  mapping?: string;
  config?: string;
  json?: true;
}

/** One record of the file, or one element of it. */
interface Tested {
  line: number;
  /** Place in the record's array, from 0; undefined when the mapping has no `each`. */
  element: number | undefined;
  mapped: Mapped;
}

/** Says line by line what becomes of sample records; see `headroom mapping test --help`. */
export async function testMapping(
  file: string,
  options: TestMappingOptions,
  context: CommandContext,
): Promise<ExitCode> {
  const chosen = await chooseMapping(options, context);
  if (!chosen.ok) return EXIT.usage;
  const samples = await readSamples(file);
  if (!samples.ok) return context.fail({ code: EXIT.usage, message: samples.problem });
  const { mapping } = chosen;
  const tested = samples.records.flatMap(({ line, text, about }) =>
    mapText(text, mapping, about).map((mapped, i): Tested => {
      return { line, element: mapping.each === undefined ? undefined : i, mapped };
    }),
  );
  if (options.json)
    context.print(
      JSON.stringify({ file, mapping: mapping.name, ...summaryOf(tested), records: tested.map(jsonOf) }),
    );
  else for (const line of reportOf(tested, samples.counted)) context.print(line);
  return tested.some(({ mapped }) => mapped.outcome === 'refused') ? EXIT.failed : EXIT.ok;
}

type Chosen = { ok: true; mapping: Mapping } | { ok: false };

async function chooseMapping(
  { mapping: wanted, config }: TestMappingOptions,
  context: CommandContext,
): Promise<Chosen> {
  if (wanted !== undefined && isPath(wanted)) {
    const read = await readMapping(wanted);
    if (read.ok) return read;
    for (const problem of read.problems) context.note(formatProblem(problem));
    return { ok: false };
  }
  const loaded = await loadConfig(configFileOf({ option: config, ...context }));
  if (!loaded.ok) {
    for (const problem of loaded.problems) context.note(formatProblem(problem));
    return { ok: false };
  }
  const own = Object.keys(loaded.config.mappings);
  const known = await knownMappings(loaded.config.mappings);
  const name = wanted ?? (own.length === 1 ? own[0]! : '');
  const mapping = known.get(name);
  if (mapping !== undefined) return { ok: true, mapping };
  const message = `--mapping: must be a file or one of ${[...known.keys()].join(', ')}, got ${name || 'none'}`;
  context.fail({ code: EXIT.usage, message });
  return { ok: false };
}

function isPath(text: string): boolean {
  return text.includes('/') || ['.yaml', '.yml', '.json'].includes(extname(text));
}

function summaryOf(tested: Tested[]) {
  const counts = { mapped: 0, ignored: 0, refused: 0 };
  const reasons: Record<string, number> = {};
  const pools: Record<string, number> = {};
  const executions = new Set<string>();
  for (const { mapped } of tested) {
    counts[mapped.outcome] += 1;
    if (mapped.outcome === 'refused') reasons[mapped.reason] = (reasons[mapped.reason] ?? 0) + 1;
    if (mapped.outcome !== 'mapped') continue;
    const { subject, data } = mapped.event;
    pools[data.pool] = (pools[data.pool] ?? 0) + 1;
    executions.add(subject);
  }
  return { ...counts, executions: executions.size, pools, reasons };
}

function jsonOf({ line, element, mapped }: Tested): object {
  return { line, ...(element !== undefined && { element }), ...mapped };
}

function reportOf(tested: Tested[], counted: 'line' | 'record'): string[] {
  const { mapped, ignored, refused, executions, pools, reasons } = summaryOf(tested);
  const lines = tested.map(({ line, element, mapped: outcome }) => {
    const where = `${counted} ${line}${element === undefined ? '' : ` [${element}]`}`;
    return `${where.padEnd(10)} ${outcome.outcome.padEnd(7)}  ${wordsOf(outcome)}`;
  });
  const summary = [
    `${mapped} events of ${executions} executions${listOf(pools)}`,
    `${ignored} ignored`,
    `${refused} refused${listOf(reasons)}`,
  ];
  return [...lines, summary.join(', ')];
}

/** At most the first ten: a mapping that makes a pool of every record must not fill the screen with them. */
function listOf(counts: Record<string, number>): string {
  const entries = Object.entries(counts).toSorted(([, a], [, b]) => b - a);
  if (entries.length === 0) return '';
  const shown = entries.slice(0, 10).map(([name, count]) => `${name}: ${count}`);
  const more = entries.length > shown.length ? [`${entries.length - shown.length} more`] : [];
  return ` (${[...shown, ...more].join(', ')})`;
}

function wordsOf(mapped: Mapped): string {
  if (mapped.outcome === 'ignored') return mapped.why;
  if (mapped.outcome === 'refused') return `${mapped.reason}: ${mapped.detail}`;
  const { event } = mapped;
  const attempt = event.data.attempt === 1 ? '' : `, attempt ${event.data.attempt}`;
  return `${phaseOf(event.type)} ${event.subject}${attempt} in pool ${event.data.pool}: ${timesText(event)}`;
}

function timesText({ data }: ExecutionEvent): string {
  const { queuedAtMs, startedAtMs, endedAtMs, assumed = [] } = data;
  const told: [string, number | undefined][] = [
    ['queued', assumed.includes('queuedAtMs') ? undefined : queuedAtMs],
    ['started', assumed.includes('startedAtMs') ? undefined : startedAtMs],
    ['ended', endedAtMs],
  ];
  const known = told.flatMap(([name, timeMs]) => (timeMs === undefined ? [] : [{ name, timeMs }]));
  return known
    .map(({ name, timeMs }, i) =>
      i === 0
        ? `${name} ${new Date(timeMs).toISOString()}`
        : `${name} +${Number((timeMs - known[i - 1]!.timeMs).toFixed(3))} ms`,
    )
    .join(', ');
}
