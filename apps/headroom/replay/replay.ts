import { connect } from 'node:net';
import {
  ratesOfTrace,
  readTrace,
  startPacedRequests,
  windowOf,
  type PacedEnd,
  type PacedRequests,
  type PacedSummary,
  type ReadTrace,
} from '#adapters/sources';
import type { CommandContext } from '../commands/command-context.js';
import { EXIT, exitCodeOfSignal, type ExitCode } from '../exit-codes.js';
import { listenForStop, type StopSignal } from '../stop-signals.js';
import { poolProblem, timesOf } from '../typed-options.js';
import type { ReplayOptions } from './replay-options.js';
import { ReplayProgress } from './replay-progress.js';
import { summaryLines } from './replay-summary.js';

const DEFAULT_ROUTER_URL = 'http://127.0.0.1:8081';
const PROBE_DEADLINE_MS = 2000;
/** A router that refuses every connection for this long is gone. */
const UNREACHABLE_AFTER_MS = 10_000;

/** Replays a trace against the router; see `headroom replay --help`. */
export async function replay(given: {
  file: string;
  options: ReplayOptions;
  context: CommandContext;
}): Promise<ExitCode> {
  const { file, options, context } = given;
  const chosen = await chooseWindow(file, options);
  if (!chosen.ok) return context.fail({ code: EXIT.usage, message: chosen.problem });
  const target = targetOf(options, context);
  if (!target.ok) return context.fail({ code: EXIT.usage, message: target.problem });
  if (!(await canConnect(target.url))) return unreachable(target.url, context);

  const { steps, missing } = ratesOfTrace(chosen.trace, options);
  const plannedS = steps.reduce((sum, step) => sum + step.durationMs, 0) / 1000;
  const progress = new ReplayProgress(context.progress, {
    plannedS,
    trace: chosen.trace,
    speed: options.speed,
  });
  const requests = startPacedRequests({
    load: { kind: 'steps', steps },
    seed: options.seed,
    url: target.url.href,
    objectiveMs: options.objectiveMs,
    unreachableAfterMs: UNREACHABLE_AFTER_MS,
    onProgress: (summary) => {
      progress.show(summary);
      if (isPoolUnknown(summary)) void requests.stop();
    },
  });
  const { end, signal } = await endOrSignal(requests);
  progress.close();
  report({ end, missing, options, context });
  return exitCodeOf({ end, signal, url: target.url, pool: options.pool, context });
}

/** The router answers 404 to a pool it does not know; a day of that teaches nobody anything. */
function isPoolUnknown({ byStatus, byError }: PacedSummary): boolean {
  return Object.keys(byStatus).join() === '404' && Object.keys(byError).length === 0;
}

async function chooseWindow(file: string, options: ReplayOptions): Promise<ReadTrace> {
  const typed = timesOf(options);
  if (!typed.ok) return typed;
  const read = await readTrace(file);
  return read.ok ? windowOf(read.trace, typed.times) : read;
}

type Target = { ok: true; url: URL } | { ok: false; problem: string };

/** The router takes a pool's requests below /<pool>/. */
function targetOf(options: ReplayOptions, context: CommandContext): Target {
  const problem = poolProblem(options.pool);
  if (problem !== undefined) return { ok: false, problem };
  const base = options.url ?? context.environment.routerUrl ?? DEFAULT_ROUTER_URL;
  if (!URL.canParse(base) || new URL(base).protocol !== 'http:') {
    return { ok: false, problem: `--url: must be an http:// address, got ${base}` };
  }
  return { ok: true, url: new URL(`${options.pool}/`, base.endsWith('/') ? base : `${base}/`) };
}

function canConnect(url: URL): Promise<boolean> {
  return new Promise((resolve) => {
    // `hostname` keeps the brackets of an IPv6 address, which connect() does not understand.
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const socket = connect({ host, port: Number(url.port || 80), timeout: PROBE_DEADLINE_MS });
    const answer = (reachable: boolean) => () => {
      socket.destroy();
      resolve(reachable);
    };
    socket.on('connect', answer(true)).on('timeout', answer(false)).on('error', answer(false));
  });
}

function unreachable(url: URL, context: CommandContext): ExitCode {
  return context.fail({
    code: EXIT.unreachable,
    message: `router ${url.origin}: must accept connections, got none`,
    hint: 'start it with `npm start`, or name another one with --url',
  });
}

async function endOrSignal(
  requests: PacedRequests,
): Promise<{ end: PacedEnd; signal: StopSignal | undefined }> {
  let signal: StopSignal | undefined;
  const stopListening = listenForStop({
    onFirst: (received) => {
      signal = received;
      void requests.stop();
    },
    onAgain: (signal) => process.exit(exitCodeOfSignal(signal)),
  });
  try {
    return { end: await requests.ended, signal };
  } finally {
    stopListening();
  }
}

function report(given: {
  end: PacedEnd;
  missing: number;
  options: ReplayOptions;
  context: CommandContext;
}): void {
  const { end, missing, options, context } = given;
  if (options.json) {
    const { pool, seed, speed, peakRps } = options;
    context.print(
      JSON.stringify({
        pool,
        seed,
        speed,
        peakRps,
        missingBuckets: missing,
        outcome: end.outcome,
        ...end.summary,
      }),
    );
    return;
  }
  for (const line of summaryLines({ ...end, missing, pool: options.pool })) context.print(line);
}

function exitCodeOf(given: {
  end: PacedEnd;
  signal: StopSignal | undefined;
  url: URL;
  pool: string;
  context: CommandContext;
}): ExitCode {
  const { end, signal, url, pool, context } = given;
  if (end.outcome === 'unreachable') return unreachable(url, context);
  if (isPoolUnknown(end.summary)) {
    const message = `--pool: must be known to the router ${url.origin}, got ${pool} (404 for every request)`;
    return context.fail({ code: EXIT.usage, message, hint: 'GET /v1/pools lists the pools' });
  }
  if (signal !== undefined) return exitCodeOfSignal(signal);
  const { sent, ok } = end.summary;
  if (ok > 0 || sent === 0) return EXIT.ok;
  const message = `replay: at least one request must be answered with success, got none of ${sent}`;
  return context.fail({ code: EXIT.failed, message, hint: 'is a worker ready? GET /v1/pools says' });
}
