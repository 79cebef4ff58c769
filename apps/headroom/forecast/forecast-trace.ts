import { createHash } from 'node:crypto';
import { readTrace, type Trace } from '#adapters/sources';
import { newForecastMemory, type ForecastMemory, type ForecastSettings } from '#domain/forecasting';
import type { CommandContext } from '../commands/command-context.js';
import { EXIT, exitCodeOfSignal, type ExitCode } from '../exit-codes.js';
import { ProgressLine } from '../progress-line.js';
import { listenForStop, type StopSignal } from '../stop-signals.js';
import { linesAt } from './forecast-lines.js';
import { readPlan, type ForecastPlan, type TypedPlan } from './forecast-plan.js';
import { ResumableFile } from './resumable-file.js';

export interface ForecastTraceOptions extends TypedPlan {
  jsonl: string;
}

/** Where a run stands: bucket `next` of the trace is the first that the memory has not seen. */
interface Standing {
  next: number;
  memory: ForecastMemory;
}

/** What is lost at most when the run is killed, ms of work. */
const KEEP_EVERY_MS = 5_000;
/** Buckets between two looks at signals and the clock. */
const BUCKETS_AT_ONCE = 100;

/** `headroom forecast`: rolling-origin forecasts of a trace; see its --help. */
export async function forecastTrace(
  path: string,
  options: ForecastTraceOptions,
  context: CommandContext,
): Promise<ExitCode> {
  const read = await readTrace(path);
  if (!read.ok) return context.fail({ code: EXIT.usage, message: read.problem });
  const { trace } = read;
  const planned = readPlan(options, trace);
  if (!planned.ok) return context.fail({ code: EXIT.usage, message: planned.problem });
  const settings = settingsOf(trace, planned.plan);
  const opened = await ResumableFile.open<Standing>(
    options.jsonl,
    keyOf(trace, planned.plan, context.version),
  );
  if (!opened.ok) return context.fail({ code: EXIT.usage, message: opened.problem, hint: opened.hint });
  const standing = opened.state ?? { next: 0, memory: newForecastMemory(settings) };
  if (standing.next > 0)
    context.note(`headroom: goes on at bucket ${standing.next} of ${trace.values.length}`);
  const run = new Run({ trace, settings, plan: planned.plan, file: opened.file, context });
  const signal = await run.to(trace.values.length, standing);
  if (signal === undefined) return EXIT.ok;
  context.note(`headroom: stopped; the same command goes on from here`);
  return exitCodeOfSignal(signal);
}

function settingsOf({ stepMs }: Trace, { horizonsS, seasonsS }: ForecastPlan): ForecastSettings {
  return { pool: 'trace', bucketS: stepMs / 1000, seasonsS, horizonsS };
}

/** Of all that the forecasts depend on. */
function keyOf(trace: Trace, plan: ForecastPlan, version: string): string {
  return createHash('sha256').update(JSON.stringify({ trace, plan, version })).digest('hex');
}

interface RunOptions {
  trace: Trace;
  settings: ForecastSettings;
  plan: ForecastPlan;
  file: ResumableFile<Standing>;
  context: CommandContext;
}

class Run {
  private signal: StopSignal | undefined;
  private keptMs = performance.now();
  private readonly progress: ProgressLine;

  constructor(private readonly options: RunOptions) {
    this.progress = new ProgressLine(options.context.progress);
  }

  /** Undefined: all is written. */
  async to(end: number, standing: Standing): Promise<StopSignal | undefined> {
    const { file } = this.options;
    const stopListening = listenForStop({
      onFirst: (signal) => (this.signal = signal),
      onAgain: (signal) => process.exit(exitCodeOfSignal(signal)),
    });
    try {
      await file.keep(standing);
      while (standing.next < end && this.signal === undefined) await this.some(end, standing);
      if (standing.next < end) await file.keep(standing);
    } finally {
      stopListening();
      this.progress.close();
    }
    if (standing.next < end) {
      await file.close();
      return this.signal;
    }
    await file.finish();
    return undefined;
  }

  private async some(end: number, standing: Standing): Promise<void> {
    const { trace, settings, plan, file } = this.options;
    const until = Math.min(end, standing.next + BUCKETS_AT_ONCE);
    let lines = '';
    for (; standing.next < until; standing.next++)
      lines += linesAt(standing.next, { trace, settings, firstTarget: plan.firstTarget }, standing.memory);
    await file.append(lines);
    if (performance.now() - this.keptMs > KEEP_EVERY_MS) {
      await file.keep(standing);
      this.keptMs = performance.now();
    }
    this.progress.show(() => `${until} of ${end} buckets, ${Math.floor((100 * until) / end)} %`);
    // Signals are heard between two turns of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
