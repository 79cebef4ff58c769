import { setTimeout as delay } from 'node:timers/promises';
import { TOPICS, type EventLog } from '#adapters/event-log';
import type { DemandStore } from '#adapters/store';
import { historyEnd, historyPartial, historyPartition, type HistoryBucket } from '#domain/demand';
import type { PoolRegistry } from './pool-registry.js';

/** A piece of a pool's past, in buckets of the pool. */
export interface HistoryPiece {
  pool: string;
  /** Names what is brought in: pieces of one name follow each other in time. */
  name: string;
  /** Of whole buckets. */
  fromMs: number;
  toMs: number;
  /** In [fromMs, toMs); those without arrivals may be left out. */
  buckets: readonly HistoryBucket[];
  /** It is the last one: who learns from the past shall look again. */
  isLast: boolean;
}

export type HistoryOutcome =
  /** The table holds everything up to here. */
  | { outcome: 'included'; toMs: number }
  /** A part of it is there already, up to here. */
  | { outcome: 'overlaps'; toMs: number }
  /** The table has not taken it yet; the same piece again does no harm. */
  | { outcome: 'pending' };

/** Buckets of one message: a thousand are some 400 kB. */
const MAX_MESSAGE_BUCKETS = 1_000;
const INCLUDED_WITHIN_MS = 15_000;
const LOOK_MS = 50;

/**
 * Brings the past of a pool in, piece by piece. Each piece continues the chain of its name in the demand of the pool, so
 * that one that is sent again counts once.
 */
export class HistoryImport {
  constructor(
    private readonly log: EventLog,
    private readonly store: Pick<DemandStore, 'includedTo' | 'firstFrom'>,
    private readonly pools: Pick<PoolRegistry, 'settingsOf'>,
  ) {}

  /** Up to when a history is in, and when the first bucket after it begins. */
  async standing({ pool, name }: { pool: string; name: string }) {
    const includedToMs = await this.store.includedTo({ pool, partition: historyPartition(name) });
    const nextMs = await this.store.firstFrom({ pool, fromMs: includedToMs ?? 0 });
    return { bucketS: this.pools.settingsOf(pool).bucketS, includedToMs, nextMs };
  }

  async take(piece: HistoryPiece): Promise<HistoryOutcome> {
    const { pool, name, fromMs, toMs, isLast } = piece;
    const place = { pool, partition: historyPartition(name) };
    const includedToMs = await this.store.includedTo(place);
    if (includedToMs !== undefined && includedToMs > fromMs && includedToMs < toMs)
      return { outcome: 'overlaps', toMs: includedToMs };
    if (includedToMs === undefined || includedToMs < toMs) {
      await this.append(piece, place.partition, includedToMs);
      if (!(await this.isIncluded(place, toMs))) return { outcome: 'pending' };
    }
    if (isLast) await this.end(piece, place.partition);
    return { outcome: 'included', toMs: Math.max(toMs, includedToMs ?? toMs) };
  }

  private async append(
    { pool, fromMs, toMs, buckets }: HistoryPiece,
    partition: number,
    includedToMs: number | undefined,
  ): Promise<void> {
    const { bucketS } = this.pools.settingsOf(pool);
    const messages: { key: string; value: string }[] = [];
    let from = includedToMs ?? -1;
    for (let i = 0; i === 0 || i < buckets.length; i += MAX_MESSAGE_BUCKETS) {
      const own = buckets.slice(i, i + MAX_MESSAGE_BUCKETS);
      const next = buckets[i + MAX_MESSAGE_BUCKETS]?.startMs ?? toMs;
      const range = { partition, from, to: Math.max(next, fromMs + 1) };
      messages.push({
        key: pool,
        value: JSON.stringify(historyPartial({ pool, bucketS, range, buckets: own })),
      });
      from = range.to;
    }
    await this.log.append(TOPICS.demand, messages);
  }

  /** What is awaited is a table that another process may write, which tells nobody. */
  private async isIncluded(place: { pool: string; partition: number }, toMs: number): Promise<boolean> {
    const deadlineMs = performance.now() + INCLUDED_WITHIN_MS;
    while (performance.now() < deadlineMs) {
      if (((await this.store.includedTo(place)) ?? -1) >= toMs) return true;
      await delay(LOOK_MS);
    }
    return false;
  }

  private async end({ pool, toMs }: HistoryPiece, partition: number): Promise<void> {
    const { bucketS } = this.pools.settingsOf(pool);
    const value = JSON.stringify(historyEnd({ pool, bucketS, partition, toMs }));
    await this.log.append(TOPICS.demand, [{ key: pool, value }]);
  }
}
