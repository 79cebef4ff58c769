import { Client } from 'pg';
import { TOPICS, topicSpecs, type KafkaSettings, type StoredRecord } from '#adapters/event-log';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import type { DecisionRecord } from '#adapters/store';
import { sameHold } from '#domain/scaling';

// What lies in the topics and in the tables, read past the program.

const PAGE_RECORDS = 2_000;

export interface At {
  topic: string;
  partition: number;
}

/** The log as whoever watches reads it: straight at the broker. */
export async function openTopics(
  settings: KafkaSettings,
  ingest: { partitions: number; dedupeWindowS: number },
): Promise<KafkaEventLog> {
  const log = await KafkaEventLog.open(settings);
  await log.ensureTopics(topicSpecs(ingest));
  return log;
}

/** Every partition of a topic. */
export function partitionsOf(log: KafkaEventLog, topic: string): At[] {
  return Array.from({ length: log.partitions(topic) }, (_, partition) => ({ topic, partition }));
}

/** All records of a partition, or those before an offset. */
export async function allOf(log: KafkaEventLog, at: At, toOffset = Infinity): Promise<StoredRecord[]> {
  const all: StoredRecord[] = [];
  for (let offset = 0; ;) {
    const page = await log.read({ ...at, offset, maxRecords: PAGE_RECORDS });
    all.push(...page.filter((record) => record.offset < toOffset));
    const last = page.at(-1);
    if (last === undefined || last.offset + 1 >= toOffset) return all;
    offset = last.offset + 1;
  }
}

/** Every decision that was recorded, those of a pool in order; before the offset that is told for a partition. */
export async function recordedDecisions(
  log: KafkaEventLog,
  toOffset: (at: At) => number = () => Infinity,
): Promise<DecisionRecord[]> {
  const all: DecisionRecord[] = [];
  for (const at of partitionsOf(log, TOPICS.decisions)) {
    const records = await allOf(log, at, toOffset(at));
    for (const { value } of records) all.push(JSON.parse(value as string) as DecisionRecord);
  }
  return all;
}

/** A row of the table of decisions, as far as the topic decides it. */
export interface DecisionRow {
  pool: string;
  kind: string;
  desired: number;
  firstAtMs: number;
  lastAtMs: number;
  count: number;
}

/** The rows that these records make: equal holds that follow each other are one. */
export function rowsOf(records: readonly DecisionRecord[]): DecisionRow[] {
  const rows: DecisionRow[] = [];
  const newest = new Map<string, { row: DecisionRow; from: DecisionRecord }>();
  for (const from of records) {
    const { pool, kind, desired, atMs } = from.decision;
    const last = newest.get(pool);
    const goesOn =
      last !== undefined &&
      last.from.policyVersion === from.policyVersion &&
      sameHold(last.from.decision, from.decision);
    const row = goesOn ? last.row : { pool, kind, desired, firstAtMs: atMs, lastAtMs: atMs, count: 0 };
    // A record of a hold tells how many of them there were since the record before.
    Object.assign(row, { lastAtMs: atMs, count: row.count + (from.count ?? 1) });
    if (!goesOn) rows.push(row);
    newest.set(pool, { row, from });
  }
  return rows;
}

/** Asks the store of the program; throws while the server is away. */
export async function ask<Row>(database: string, sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: database, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined); // told by the query as well
  try {
    await client.connect();
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** By pool: how many executions have arrived, as the table of demand says. */
export async function arrivalsIn(database: string): Promise<Map<string, number>> {
  const sql = 'select pool, sum(arrivals) as arrivals from demand group by pool';
  const rows = await ask<{ pool: string; arrivals: number }>(database, sql);
  return new Map(rows.map(({ pool, arrivals }) => [pool, Number(arrivals)]));
}

/** The table of decisions. */
export async function decisionRows(database: string): Promise<DecisionRow[]> {
  const rows = await ask<Record<keyof DecisionRow, string>>(
    database,
    `select pool, kind, decision->>'desired' as desired, first_at_ms as "firstAtMs", last_at_ms as "lastAtMs", count
     from decisions order by id`,
  );
  return rows.map(({ pool, kind, ...numbers }) => {
    const { desired, firstAtMs, lastAtMs, count } = numbers;
    return {
      pool,
      kind,
      desired: Number(desired),
      firstAtMs: Number(firstAtMs),
      lastAtMs: Number(lastAtMs),
      count: Number(count),
    };
  });
}

/** Where a table stands in each partition of its topic. */
export async function standings(database: string): Promise<(At & { nextOffset: number })[]> {
  const sql = 'select topic, partition, next_offset as "nextOffset" from projection_offsets';
  const rows = await ask<At & { nextOffset: string }>(database, sql);
  return rows.map((row) => ({ ...row, nextOffset: Number(row.nextOffset) }));
}
