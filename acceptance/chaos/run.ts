import { setTimeout as delay } from 'node:timers/promises';
import { DEMO_HANDLERS, type Workplace } from '../headroom-process.js';
import { seededRandom } from '../killed-program.js';
import type { SeparatelyDeployed } from '../separate-processes.js';
import {
  countedOnce,
  decisionsInTable,
  emptied,
  noAlarms,
  noDeadLetters,
  nothingStuck,
  ordersRecorded,
  shortened,
  stopsInOrder,
} from './checks.js';
import { Executions } from './executions.js';
import { describeFault, drawFaults, type Fault } from './faults.js';
import { OrderWatch } from './orders.js';
import { arrivalsIn, openTopics } from './records.js';
import { setStage, type Stage } from './stage.js';
import { undergo } from './strikes.js';

// The story: executions flow, a fault strikes, it is healed, the program recovers; again and again. In the end
// everything is looked at.

export interface Plan {
  seed: number;
  faults: number;
  executions: number;
}

export interface Undergone {
  fault: Fault;
  /** From the end of the fault until all that was acknowledged by then has counted and every process is ready. */
  recoveryMs: number;
}

export interface Outcome {
  undergone: Undergone[];
  /** Executions that were acknowledged, and what the program counted. */
  sent: number;
  counted: number;
  /** Changes of a fleet that were seen. */
  orders: number;
  again: Executions['again'];
  tookMs: number;
  /** Checks by name, and what each complains about. */
  checks: [name: string, complaints: string[]][];
}

/** Executions of one fault are spread over at least this time. */
const PORTION_MS = 8_000;
/** A fault strikes so long after its portion has begun, at most. */
const CALM_MS = 2_000;
const RECOVERED_WITHIN_MS = 120_000;

const INGEST = { partitions: 4, dedupeWindowS: 60 };
/** Its workers are scaled; those of the others run elsewhere. */
const SCALED = 'web';
const POOLS = [SCALED, 'batch', 'mail', 'orders', 'reports', 'video'];
/** The share of all executions that the scaled pool gets while one fault lasts: none to most. */
const SHARES = [0.02, 0.5];

const CONFIGURATION = {
  log: { statusEveryS: 0, level: 'warn' },
  ingest: INGEST,
  pools: Object.fromEntries(
    POOLS.map((pool) => {
      const policy = { mode: 'reactive', bounds: { minWorkers: 1, maxWorkers: 3 }, scaleIn: { holdS: 2 } };
      const worker = pool === SCALED ? { handlers: DEMO_HANDLERS, slots: 8 } : {};
      return [pool, { bucketS: 1, seasonsS: [60], worker, policy }];
    }),
  ),
};

/** Rejects when the program cannot be started or does not recover: the rest would say nothing. */
export async function run(plan: Plan, work: Workplace, say: (line: string) => void): Promise<Outcome> {
  const startMs = performance.now();
  const stage = await setStage(work, CONFIGURATION);
  const { api, eventLog } = stage.deployed;
  const executions = new Executions({
    broker: stage.kafka.bootstrap,
    topic: `${eventLog.prefix}executions.v1`,
    pools: POOLS,
    seed: plan.seed,
  });
  const watch = new OrderWatch(api);
  try {
    say(`ready after ${seconds(performance.now() - startMs)}`);
    const undergone = await undergoAll(plan, { stage, executions, say });
    await executions.close();
    await watch.stop();
    const log = await openTopics(eventLog, INGEST);
    const checks: Outcome['checks'] = [];
    const check = async (name: string, complaints: Promise<string[]>) => {
      const found = shortened(await complaints.catch((error: Error) => [error.message]));
      checks.push([name, found]);
      say(
        `${found.length === 0 ? 'passed' : 'FAILED'}: ${name}${found.map((line) => `\n    ${line}`).join('')}`,
      );
    };
    await check('no partition is stuck', nothingStuck(stage.deployed, log));
    await check('every execution counted once', countedOnce(stage.deployed, executions.acknowledged));
    await check('nothing that must not be was counted', noAlarms(stage.deployed));
    const counted = [...(await arrivalsIn(stage.deployed.database)).values()].reduce((a, b) => a + b, 0);
    await check('every process stops in order', stopsInOrder(stage.deployed));
    await check('every decision is in the table, and no other', decisionsInTable(stage.deployed, log));
    await check('every order to the fleet was decided and recorded', ordersRecorded(watch.orders, log));
    await check('no execution is a dead letter', noDeadLetters(log));
    await log.close();
    const { total: sent, again } = executions;
    const orders = watch.orders.length;
    return { undergone, sent, counted, orders, again, tookMs: performance.now() - startMs, checks };
  } finally {
    // Both go on by themselves, also when the story has ended early.
    await Promise.all([executions.close(), watch.stop()]);
    await work.end();
    await stage.stop();
  }
}

interface Scene {
  stage: Stage;
  executions: Executions;
  say: (line: string) => void;
}

async function undergoAll({ seed, faults, executions: count }: Plan, scene: Scene): Promise<Undergone[]> {
  const random = seededRandom(seed + 1);
  const undergone: Undergone[] = [];
  for (const [i, fault] of drawFaults(seed, faults).entries()) {
    const portion = Math.floor((count * (i + 1)) / faults) - Math.floor((count * i) / faults);
    const share = SHARES[i % SHARES.length] as number;
    const sending = scene.executions.send({ count: portion, overMs: PORTION_MS, share });
    sending.catch(() => undefined); // told below
    await delay(random() * CALM_MS);
    await undergo(scene.stage, fault);
    const recoveryMs = await recovery(scene);
    undergone.push({ fault, recoveryMs });
    await sending;
    const nth = `${String(i + 1).padStart(String(faults).length)}/${faults}`;
    const total = scene.executions.total.toLocaleString('en');
    scene.say(
      `${nth} ${describeFault(fault).padEnd(48)} recovered in ${seconds(recoveryMs).padStart(7)}, ${total} sent`,
    );
  }
  return undergone;
}

/** Until all that is acknowledged now has counted, and every process is ready. */
async function recovery({ stage, executions }: Scene): Promise<number> {
  const healedMs = performance.now();
  const owed = [...executions.acknowledged];
  const left = await emptied(() => missing(stage.deployed, owed), RECOVERED_WITHIN_MS);
  if (left.length === 0) return performance.now() - healedMs;
  throw new Error(`recovery within ${RECOVERED_WITHIN_MS} ms: ${shortened(left).join('; ')}`);
}

async function missing(
  { api, database }: SeparatelyDeployed,
  owed: readonly [pool: string, count: number][],
): Promise<string[]> {
  const [ready, counted] = await Promise.allSettled([api.get('/readyz'), arrivalsIn(database)]);
  if (ready.status === 'rejected') return [`every process: an answer, got ${ready.reason}`];
  if (counted.status === 'rejected') return [`the store: an answer, got ${counted.reason}`];
  const unready =
    ready.value.status === 200 ? [] : [`every process: ready, got ${JSON.stringify(ready.value.body)}`];
  const uncounted = owed
    .filter(([pool, count]) => (counted.value.get(pool) ?? 0) < count)
    .map(([pool, count]) => `${pool}: ${count} arrivals, got ${counted.value.get(pool)}`);
  return [...unready, ...uncounted];
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
