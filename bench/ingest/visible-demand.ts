import { setTimeout as delay } from 'node:timers/promises';
import { KafkaEventLog } from '#adapters/event-log/kafka';
import { TOPICS, topicSpecs } from '#adapters/event-log';
import { parsePartial } from '#domain/demand';
import { DEDUPE_WINDOW_S, EventMaker, kafkaSettings, PARTITIONS, RATE_PER_S } from './setting.js';

/** Pools that get one event at a time: when a pool's demand grows, it is known which event was counted. */
const PROBES = 100;
const PROBES_PER_S = 50;
const TICK_MS = 10;
/** Other executions than those the topic is filled with. */
const SEED = 2;
export const PROBE_BUCKET_S = 1;

const probeName = (n: number) => `probe-${n % PROBES}`;

/** For the configuration of whoever counts them. */
export const PROBE_POOLS = Object.fromEntries(
  Array.from({ length: PROBES }, (_, n) => [probeName(n), { bucketS: PROBE_BUCKET_S, seasonsS: [600] }]),
);

export interface Visible {
  /** From an event's end to the moment at which a reader of demand.v1 has it. */
  countedMs: Float64Array;
  /** … and the bucket of its end is over: demand that is complete, as far as anybody knows. */
  closedMs: Float64Array;
}

/** Events at their rate for so long, and how long it takes until they are demand. */
export async function visibleDemand(brokers: string, { durationS }: { durationS: number }): Promise<Visible> {
  const log = await KafkaEventLog.open({ ...kafkaSettings(brokers), producer: 'platformatic' });
  await log.ensureTopics(topicSpecs({ partitions: PARTITIONS, dedupeWindowS: DEDUPE_WINDOW_S }));
  try {
    const watched = await watch(log);
    await send(log, durationS, watched.sent);
    while (watched.waiting() > 0) await delay(TICK_MS);
    return watched.visible();
  } finally {
    await log.close();
  }
}

async function watch(log: KafkaEventLog) {
  const sentMs = new Map<string, number>();
  const seen: { endedMs: number; seenMs: number }[] = [];
  await log.subscribe({
    group: `bench-${process.pid}`,
    topics: [TOPICS.demand],
    onAssigned: (partitions) =>
      Promise.all(partitions.map(async (at) => ({ ...at, offset: await log.endOffset(at) }))),
    onBatch: async ({ records }) => {
      const seenMs = Date.now();
      for (const { value } of records) {
        const pool = parsePartial(value ?? '')?.pool ?? '';
        const endedMs = sentMs.get(pool);
        if (endedMs !== undefined) seen.push({ endedMs, seenMs });
        sentMs.delete(pool);
      }
    },
  });
  return {
    /** False: the event that this pool got before is not demand yet. */
    sent: (pool: string, endedMs: number): boolean => {
      if (sentMs.has(pool)) return false;
      sentMs.set(pool, endedMs);
      return true;
    },
    waiting: () => sentMs.size,
    visible: (): Visible => ({
      countedMs: Float64Array.from(seen, ({ endedMs, seenMs }) => seenMs - endedMs),
      closedMs: Float64Array.from(seen, ({ endedMs, seenMs }) => {
        const bucketMs = 1000 * PROBE_BUCKET_S;
        return Math.max(seenMs, (Math.floor(endedMs / bucketMs) + 1) * bucketMs) - endedMs;
      }),
    }),
  };
}

/** An open loop: what is due is sent, whatever became of the events before. */
async function send(
  log: KafkaEventLog,
  durationS: number,
  probe: (pool: string, endedMs: number) => boolean,
): Promise<void> {
  const maker = new EventMaker(SEED);
  const startMs = Date.now();
  const appends = new Set<Promise<void>>();
  let [sent, probes] = [0, 0];
  for (let elapsedMs = 0; elapsedMs < durationS * 1000; elapsedMs = Date.now() - startMs) {
    const records = [];
    const now = Date.now();
    while (sent < (elapsedMs * RATE_PER_S) / 1000) {
      const made = maker.next(now);
      sent += made.length;
      records.push(...made);
    }
    while (probes < (elapsedMs * PROBES_PER_S) / 1000) {
      const pool = probeName(probes++);
      if (probe(pool, now)) records.push(...maker.next(now, pool));
    }
    const append: Promise<void> = log
      .append(TOPICS.executions, records)
      .finally(() => appends.delete(append));
    appends.add(append);
    await delay(TICK_MS);
  }
  await Promise.all(appends);
}
