import { setTimeout as delay } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import { TOPICS } from '#adapters/event-log';
import type { KafkaEventLog } from '#adapters/event-log/kafka';
import type { Deployed } from '../deployment.js';
import type { SeparatelyDeployed } from '../separate-processes.js';
import { ordersWithoutRecord, type Order } from './orders.js';
import {
  allOf,
  arrivalsIn,
  decisionRows,
  partitionsOf,
  recordedDecisions,
  rowsOf,
  standings,
  type At,
} from './records.js';

// What must hold when all faults are healed. Each check resolves to what is wrong, at most a few lines; empty: nothing.

const WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 100;
const MAX_COMPLAINTS = 5;

/** What each execution adds to its pool once; everything else that demand counts stays at zero. */
const ONCE = ['arrivals', 'starts', 'completions'] as const;
const NEVER = [
  'retries',
  'failures',
  'abandonments',
  'rejections',
  'expiredQueued',
  'expiredStarted',
] as const;
type Count = (typeof ONCE)[number] | (typeof NEVER)[number];

/** Each execution that was acknowledged has counted once, in the API and in the table that it answers from. */
export async function countedOnce(
  { api, database }: SeparatelyDeployed,
  acknowledged: ReadonlyMap<string, number>,
): Promise<string[]> {
  const inTable = await arrivalsIn(database);
  const complaints: string[] = [];
  for (const [pool, sent] of acknowledged) {
    const buckets = await api.all<Record<Count, number>>(`/v1/pools/${pool}/demand`);
    const sum = (count: Count) => buckets.reduce((total, bucket) => total + bucket[count], 0);
    const expected = [...ONCE.map((count) => [count, sent]), ...NEVER.map((count) => [count, 0])] as [
      Count,
      number,
    ][];
    for (const [count, wanted] of expected)
      if (sum(count) !== wanted) complaints.push(`${pool}: ${wanted} ${count}, got ${sum(count)}`);
    const stored = inTable.get(pool);
    if (stored !== sent) complaints.push(`${pool}: ${sent} arrivals in the table, got ${stored}`);
  }
  return complaints;
}

/** What a table or a group has durably read of a topic. */
const READ = [TOPICS.executions, TOPICS.demand, TOPICS.forecasts, TOPICS.decisions];

/** Every committed offset comes to the end that its partition has now, and every lag is seen to be zero. */
export async function nothingStuck(deployed: SeparatelyDeployed, log: KafkaEventLog): Promise<string[]> {
  const ats = READ.flatMap((topic) => partitionsOf(log, topic));
  const waiting: { at: At; endOffset: number }[] = [];
  for (const at of ats) waiting.push({ at, endOffset: await log.endOffset(at) });
  const unread = async () => {
    const position = await positions(deployed);
    const left: string[] = [];
    for (const { at, endOffset } of waiting) {
      const offset = position(at);
      const [next] = await log.read({ ...at, offset, maxRecords: 1 });
      if (next !== undefined && next.offset < endOffset)
        left.push(`${at.topic}[${at.partition}]: read to ${endOffset}, got ${offset}`);
    }
    return left;
  };
  return [...(await emptied(unread)), ...(await emptied(lagging(deployed)))];
}

async function positions({ eventLog, database }: SeparatelyDeployed): Promise<(at: At) => number> {
  const tables = await standings(database);
  const committed = await committedByIngest(eventLog);
  return ({ topic, partition }) => {
    if (topic === TOPICS.executions) return committed.get(partition) ?? 0;
    return tables.find((each) => each.topic === topic && each.partition === partition)?.nextOffset ?? 0;
  };
}

async function committedByIngest({
  brokers,
  prefix,
}: SeparatelyDeployed['eventLog']): Promise<Map<number, number>> {
  const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const topic = `${prefix}${TOPICS.executions}`;
    const [found] = await admin.fetchOffsets({ groupId: `${prefix}ingest`, topics: [topic] });
    return new Map(found?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  } finally {
    await admin.disconnect();
  }
}

/** Samples of lag that were not zero yet; each answer has only those that no answer before has seen at zero. */
function lagging({ api }: Deployed): () => Promise<string[]> {
  const seen = new Set<string>();
  return async () => {
    const samples = [...(await api.metrics())].filter(([name]) => name.startsWith('headroom_consumer_lag_'));
    const [records, ages] = ['records', 'seconds'].map((unit) =>
      samples.filter(([name]) => name.startsWith(`headroom_consumer_lag_${unit}{`)),
    );
    if (records?.length === 0 || ages?.length === 0) return ['metrics of lag: some, got none'];
    for (const [name, value] of samples) if (value === 0) seen.add(name);
    return samples.filter(([name]) => !seen.has(name)).map(([name, value]) => `${name}: 0, got ${value}`);
  };
}

/** Asks until nothing is left; resolves to what is left in the end. */
export async function emptied(ask: () => Promise<string[]>, withinMs = WITHIN_MS): Promise<string[]> {
  for (const deadlineMs = performance.now() + withinMs; ;) {
    const left = await ask();
    if (left.length === 0 || performance.now() > deadlineMs) return left;
    await delay(LOOK_EVERY_MS);
  }
}

/** The table of decisions has what decisions.v1 has, row by row, and nothing else. Of a program that has stopped. */
export async function decisionsInTable(
  { database }: SeparatelyDeployed,
  log: KafkaEventLog,
): Promise<string[]> {
  const tables = await standings(database);
  const takenIn = ({ topic, partition }: At) =>
    tables.find((each) => each.topic === topic && each.partition === partition)?.nextOffset ?? 0;
  const expected = byPool(rowsOf(await recordedDecisions(log, takenIn)));
  const actual = byPool(await decisionRows(database));
  const pools = [...new Set([...expected.keys(), ...actual.keys()])];
  const complaints = pools.flatMap((pool) => {
    const [wanted, got] = [expected.get(pool) ?? [], actual.get(pool) ?? []];
    const differs = Array.from({ length: Math.max(wanted.length, got.length) }, (_, i) => i).find(
      (i) => JSON.stringify(wanted[i]) !== JSON.stringify(got[i]),
    );
    if (differs === undefined) return [];
    return [
      `${pool}: row ${differs} ${JSON.stringify(wanted[differs])}, got ${JSON.stringify(got[differs])}`,
    ];
  });
  return expected.size === 0 ? ['decisions: some, got none'] : complaints;
}

/** Whatever the fleet was asked for has been decided, and its record came first. */
export async function ordersRecorded(orders: readonly Order[], log: KafkaEventLog): Promise<string[]> {
  const recorded = (await recordedDecisions(log)).map(({ decision }) => decision);
  const changes = orders.filter(({ unseen }) => !unseen).length;
  if (changes === 0) return ['orders to the fleet: some that change it, got none'];
  return ordersWithoutRecord(orders, recorded).map(
    (order) => `${JSON.stringify(order)}: a decision, got none`,
  );
}

/** Nothing that was sent is a dead letter. */
export async function noDeadLetters(log: KafkaEventLog): Promise<string[]> {
  const letters = await allOf(log, { topic: TOPICS.deadLetters, partition: 0 });
  return letters.map(({ headers, value }) => `no dead letter, got ${headers['reason']}: ${value}`);
}

/** What must never be counted: holes in demand, events forgotten too early, decisions that nobody will see. */
const ALARMS =
  /^headroom_(demand_partials_total\{.*outcome="(gap|unreadable)"|ingest_forgotten_early|lost_decisions|lost_records|unreadable_records)/;

export async function noAlarms({ api }: Deployed): Promise<string[]> {
  const samples = [...(await api.metrics())].filter(([name, value]) => ALARMS.test(name) && value !== 0);
  return samples.map(([name, value]) => `${name}: 0, got ${value}`);
}

/** Every process ends when it is asked to, and says that it was well. */
export async function stopsInOrder(deployed: Deployed): Promise<string[]> {
  const ended = await deployed.stop();
  return ended
    .filter(({ code }) => code !== 0)
    .map((end) => `a process: exit code 0, got ${JSON.stringify(end)}`);
}

/** At most a few, with how many more. */
export function shortened(complaints: string[]): string[] {
  if (complaints.length <= MAX_COMPLAINTS) return complaints;
  return [...complaints.slice(0, MAX_COMPLAINTS), `and ${complaints.length - MAX_COMPLAINTS} more`];
}

function byPool<Row extends { pool: string }>(rows: readonly Row[]): Map<string, Row[]> {
  return Map.groupBy(rows, ({ pool }) => pool);
}
