// One system on one seed, in a process of its own: node cell.js '{"system":"a","seed":1}' KEY RESULT_FILE DATA_DIR
import { rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { loadavg } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { openLocalIdentity } from '#adapters/identity';
import { createLogger } from '#adapters/telemetry';
import type { Decision, DecisionInput } from '#domain/scaling';
import { createRandom } from '#domain/simulation';
import { openParts, type Parts } from '../../apps/headroom/parts.js';
import { startOn } from '../../apps/headroom/program.js';
import { needsOf, type TargetName } from '../../apps/headroom/targets.js';
import { backFill } from './back-fill.js';
import type { Cell, CellResult, Tick } from './cell-result.js';
import { hpaScaling } from './hpa-scaling.js';
import { hpaSettings, tuneHpa } from './hpa-tuning.js';
import { PaidTime } from './paid-time.js';
import { scoreOf } from './score.js';
import { sendRequests } from './sent-requests.js';
import { configOf, loadOf, POOL, WARM_UP_S } from './setting.js';

/** From the opened store to the first request: the program and its first worker must be there. */
const START_WITHIN_MS = 14_000;
/** Event-loop delays are sampled this often; the sampling interval itself is no delay. */
const RESOLUTION_MS = 5;
const DEADLINE_MS = 10_000;
const MAX_IN_FLIGHT = 2_000;

const [cellJson, key, resultFile, dataDir] = process.argv.slice(2) as [string, string, string, string];
const cell = JSON.parse(cellJson) as Cell;
const { system, seed } = cell;

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const { port } = server.address() as { port: number };
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  return port;
}

const TARGETS: TargetName[] = ['ingest', 'forecaster', 'fleet', 'autoscaler', 'router'];

async function run(): Promise<CellResult> {
  const tuned = system === 'c2' ? tuneHpa(seed) : undefined;
  const loadBefore = loadavg()[0] as number;
  const config = configOf(system, { api: await freePort(), router: await freePort() });
  const opened = await openLocalIdentity(dataDir, { create: true, tokenMaxS: config.identity.tokenMaxS });
  if (!opened.ok) throw new Error(opened.problem);
  const logger = createLogger({ level: 'warn' });
  const options = { config, dataDir, identity: opened.identity, logger, needs: needsOf(TARGETS) };
  const parts = await openParts(options);
  const paid = new PaidTime(Date.now);
  paid.listen(parts.observers.fleet);

  const startMs = (Math.ceil(Date.now() / 1000) + START_WITHIN_MS / 1000) * 1000;
  const { ratesPerS, scoredS } = loadOf(system, seed);
  const fromMs = startMs + WARM_UP_S * 1000;
  const toMs = fromMs + scoredS * 1000;
  const demandStore = parts.forForecaster().demandStore;
  await backFill(demandStore, { seed, untilMs: startMs, random: createRandom(seed * 31 + 7) });
  const ticks: Tick[] = [];
  observeDecisions(parts, { ticks, fromMs, toMs, tuned });
  const program = await startOn(parts, {
    ...options,
    targets: TARGETS,
    version: 'bench',
    proofOf: () => undefined,
  });
  if (Date.now() > startMs) throw new Error(`cell: must start within ${START_WITHIN_MS} ms, took longer`);
  const sending = sendRequests({
    target: {
      url: `${program.urls.router}/${POOL}/`,
      method: 'GET',
      headers: {},
      deadlineMs: DEADLINE_MS,
      maxInFlight: MAX_IN_FLIGHT,
    },
    ratesPerS,
    seed: seed * 104_729 + 1,
    startMs,
    scoredFromMs: fromMs,
  });
  // Whichever breaks first ends the cell.
  const [measured, sent] = await Promise.all([measure(fromMs, toMs), sending]);
  const workerSeconds = paid.between({ fromMs, toMs });
  const loadAfter = loadavg()[0] as number;
  await program.stop();
  return {
    cell,
    key,
    atIso: new Date(fromMs).toISOString(),
    score: scoreOf(sent, scoredS),
    workerSeconds,
    tuned: tuned,
    ...measured,
    leadTimesS: paid.leadTimesS,
    crashes: paid.crashes,
    loadAverage: [loadBefore, loadAfter],
    ticks,
  };
}

/** Event-loop delay and CPU of this process between two times. */
async function measure(fromMs: number, toMs: number): Promise<Pick<CellResult, 'eventLoopDelayMs' | 'cpuS'>> {
  await sleep(Math.max(0, fromMs - Date.now()));
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  const before = process.cpuUsage();
  await sleep(Math.max(0, toMs - Date.now()));
  const { user, system: kernel } = process.cpuUsage(before);
  delays.disable();
  const delayMs = (ns: number) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
  return {
    eventLoopDelayMs: {
      p50: delayMs(delays.percentile(50)),
      p99: delayMs(delays.percentile(99)),
      max: delayMs(delays.max),
    },
    cpuS: (user + kernel) / 1e6,
  };
}

/** Keeps what each tick saw; for the HPA rule it also scales, in place of the decision that is only observed. */
function observeDecisions(
  parts: Parts,
  given: { ticks: Tick[]; fromMs: number; toMs: number; tuned: CellResult['tuned'] },
): void {
  const { ticks, fromMs, toMs, tuned } = given;
  const observer = parts.observers.autoscaler;
  const { decided } = observer;
  const isHpa = system === 'c1' || system === 'c2';
  const failed = (error: Error) => process.stderr.write(`cell: the fleet refused: ${error.message}\n`);
  const hpa = isHpa ? hpaScaling(parts.forAutoscaler().fleet, hpaSettings(tuned?.chosen), failed) : undefined;
  observer.decided = (made) => {
    decided(made);
    const desired = hpa === undefined ? undefined : hpa(made.input);
    const { nowMs } = made.input;
    if (nowMs >= fromMs && nowMs < toMs) ticks.push(tickOf(made, { fromMs, desired }));
  };
}

function tickOf(
  { decision, input }: { decision: Decision; input: DecisionInput },
  { fromMs, desired }: { fromMs: number; desired: number | undefined },
): Tick {
  const { nowMs, demand, fleet } = input;
  const asked = input.policy.mode === 'observe' ? fleet?.desired : decision.desired;
  return {
    atS: (nowMs - fromMs) / 1000,
    ratePerS: demand?.arrivalRatePerS,
    backlog: demand?.backlog,
    viewAgeS: demand && (nowMs - demand.asOfMs) / 1000,
    neededNow: decision.neededNow,
    pricedLevel: decision.pricedLevel,
    pricedHorizonS: decision.pricedHorizonS,
    desired: desired ?? asked ?? 0,
    ready: fleet?.ready ?? 0,
    starting: fleet?.starting ?? 0,
    draining: fleet?.draining ?? 0,
    reason: decision.reason,
  };
}

// Ctrl-C reaches the whole group; the bench ends its cells with SIGTERM. Workers end when this process does.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(1));

const result = await run();
await writeFile(`${resultFile}.part`, JSON.stringify(result));
await rename(`${resultFile}.part`, resultFile);
process.exit(0);
