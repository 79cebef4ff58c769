import { performance } from 'node:perf_hooks';
import { LogForbidden, LogUnreachable, TopicMismatch, UnreadableSecret } from '#adapters/event-log';
import type { ProofOf } from '#adapters/http-api';
import { formatProblem } from '#adapters/input-problems';
import { canSign, type Verifier } from '#adapters/identity';
import { DataDirectoryFull, DataDirectoryInUse, StoreUnavailable } from '#adapters/store';
import { createLogger } from '#adapters/telemetry';
import type { CommandContext } from './commands/command-context.js';
import { loadConfig } from './config-file.js';
import type { Config } from './config.js';
import { EXIT, exitCodeOfSignal, type ExitCode } from './exit-codes.js';
import { configFileOf, dataDirOf } from './locations.js';
import { CannotSign } from './open-fleet.js';
import { openIdentity } from './open-identity.js';
import { CannotListen, startProgram, type Program } from './program.js';
import { StoreOfAnotherLog } from './store-and-log.js';
import { storeExitCode } from './store-exit-code.js';
import { listenForStop, type StopSignal } from './stop-signals.js';
import { needsOf, parseTargets, type TargetName } from './targets.js';
import { readSourcePasswords } from './source-passwords.js';
import { tokenCommand } from './token-command.js';
import { openWebhookProofs } from './webhook-proofs.js';

/** How long a start may wait for its first workers before it says that it is not ready. */
const READY_WITHIN_MS = 10_000;
const READY_POLL_MS = 50;
/** How long a program whose store has ended may take to end its workers and itself. */
const STOP_DEAD_WITHIN_MS = 15_000;

/** Runs the chosen targets until a signal; see `headroom start --help`. */
export async function runProgram(
  options: { target: string; config?: string; dataDir?: string },
  context: CommandContext,
): Promise<ExitCode> {
  const file = configFileOf({ option: options.config, ...context });
  const loaded = await loadConfig(file);
  if (!loaded.ok) {
    for (const problem of loaded.problems) context.note(formatProblem(problem));
    return EXIT.usage;
  }
  const { config } = loaded;
  const targets = parseTargets(options.target, config);
  if (!targets.ok) return context.fail({ code: EXIT.usage, message: targets.problem });
  const dataDir = dataDirOf({ option: options.dataDir, configured: config.dataDir, ...context });
  const opened = await openIdentity({ ...config, dataDir, create: true });
  if (!opened.ok) return context.fail({ code: EXIT.usage, message: opened.problem, hint: opened.hint });
  // Who takes no events needs to know of their sources, and none of their secrets.
  const { webhooks, sources } = targets.targets.includes('ingest') ? config : NO_SOURCES;
  const proofs = await openWebhookProofs(webhooks);
  if (!proofs.ok) return context.fail({ code: EXIT.usage, message: proofs.problem, hint: proofs.hint });
  const read = await readSourcePasswords(sources);
  if (!read.ok) return context.fail({ code: EXIT.usage, message: read.problem });
  const sourcePasswords = read.passwords;
  const { identity } = opened;
  const { proofOf } = proofs;
  return run(
    { config, dataDir, identity, proofOf, sourcePasswords, targets: targets.targets, file },
    context,
  );
}

const NO_SOURCES: Pick<Config, 'webhooks' | 'sources'> = { webhooks: {}, sources: {} };

interface Run {
  config: Config;
  dataDir: string;
  identity: Verifier;
  proofOf: ProofOf;
  sourcePasswords: ReadonlyMap<string, string>;
  targets: TargetName[];
  file: string;
}

async function run(given: Run, context: CommandContext): Promise<ExitCode> {
  const { config, dataDir, identity, proofOf, sourcePasswords, targets } = given;
  const logger = createLogger({ level: config.log.level });
  const startedMs = performance.now();
  // From here on a signal is remembered, so that a Ctrl-C during the start stops what has started.
  const asked = Promise.withResolvers<StopSignal>();
  const stopping = new AbortController();
  let program: Program | undefined;
  const stopListening = listenForStop({
    onFirst: (signal) => {
      if (program === undefined)
        context.note(`headroom: ${signal}, stopping as soon as the start is through`);
      stopping.abort();
      asked.resolve(signal);
    },
    onAgain: (signal) => process.exit(exitCodeOfSignal(signal)),
  });
  try {
    const { version } = context;
    const secrets = { identity, proofOf, sourcePasswords };
    program = await startProgram({ config, dataDir, ...secrets, logger, targets, version });
  } catch (error) {
    stopListening();
    return cannotStart(error, context);
  }
  const end = Promise.race([asked.promise, program.died]);
  await Promise.race([untilReady(program, stopping.signal), end]);
  if (!stopping.signal.aborted) await announce(program, { startedMs, ...given }, context);
  const status = statusTimer(program, config.log.statusEveryS, context);
  const reason = await end;
  clearInterval(status);
  if (reason instanceof Error) return stopDead(program, reason, context);
  context.note(`headroom: ${reason}, stopping …`);
  await program.stop();
  context.note('headroom: stopped');
  return EXIT.ok;
}

/** Without its store a program must not stay and pretend: it ends what it can, in bounded time. */
async function stopDead(program: Program, reason: Error, context: CommandContext): Promise<ExitCode> {
  const code = context.fail({
    code: EXIT.invalid,
    message: `the store has ended unasked: ${reason.message}`,
    hint: 'start again; what was acknowledged is on the disk',
  });
  setTimeout(() => process.exit(code), STOP_DEAD_WITHIN_MS).unref();
  await program.stop().catch((error: Error) => context.note(`headroom: ${error.message}`));
  return code;
}

function cannotStart(error: unknown, context: CommandContext): ExitCode {
  if (error instanceof TopicMismatch)
    return context.fail({ code: EXIT.usage, message: error.message, hint: error.hint });
  if (error instanceof StoreOfAnotherLog) {
    const hint =
      'use the event log that the store was filled from, or an empty store; `headroom restore --new-log` fills one';
    return context.fail({ code: EXIT.usage, message: error.message, hint });
  }
  if (error instanceof StoreUnavailable)
    return context.fail({ code: storeExitCode(error), message: error.message, hint: error.hint });
  if (error instanceof LogUnreachable)
    return context.fail({ code: EXIT.unreachable, message: error.message });
  if (error instanceof LogForbidden) return context.fail({ code: EXIT.notAllowed, message: error.message });
  const expected = [DataDirectoryInUse, DataDirectoryFull, CannotListen, CannotSign, UnreadableSecret];
  if (error instanceof Error && expected.some((kind) => error instanceof kind))
    return context.fail({ code: EXIT.usage, message: error.message });
  throw error;
}

async function untilReady(program: Program, stopping: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + READY_WITHIN_MS;
  while (!stopping.aborted && performance.now() < deadlineMs) {
    if ((await program.readiness()).ready) return;
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
}

async function announce(
  program: Program,
  about: Run & { startedMs: number },
  context: CommandContext,
): Promise<void> {
  const { ready, problems } = await program.readiness();
  const seconds = ((performance.now() - about.startedMs) / 1000).toFixed(1);
  context.print(`headroom: ${ready ? 'ready' : 'NOT ready'} after ${seconds} s`);
  for (const problem of problems) context.print(`  ${problem}`);
  const tokenHint = canSign(about.identity) ? `  (${tokenCommand({ ...about, ...context })})` : '';
  context.print(`  api       ${program.urls.api}${tokenHint}`);
  if (program.urls.router !== undefined) context.print(`  router    ${program.urls.router}/<pool>/…`);
  context.print(`  config    ${about.file}`);
  const { config } = about;
  if (usesDataDir(about)) context.print(`  data      ${about.dataDir}`);
  if (config.store.kind === 'postgres' && needsOf(about.targets).has('store'))
    context.print(`  store     ${config.store.url}`);
}

/** The key, the store and the log may all be elsewhere. */
function usesDataDir({ config, targets }: Run): boolean {
  const needs = needsOf(targets);
  const isEmbedded =
    (needs.has('store') && config.store.kind === 'embedded') ||
    (needs.has('log') && config.eventLog.kind === 'embedded');
  return isEmbedded || config.identity.keyFile === undefined;
}

function statusTimer(program: Program, everyS: number, context: CommandContext): NodeJS.Timeout | undefined {
  if (everyS === 0) return undefined;
  return setInterval(() => {
    for (const line of program.statusLines()) context.print(line);
  }, everyS * 1000);
}
