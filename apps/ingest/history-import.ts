import { setTimeout as delay } from 'node:timers/promises';
import { TOPICS, type EventLog } from '#adapters/event-log';
import type { DemandChainRow, DemandStore, PoolStanding } from '#adapters/store';
import {
  bucketStartMs,
  historyEnd,
  historyPartial,
  historyPartition,
  isSampledPartition,
  type DemandPartial,
  type HistoryBucket,
} from '#domain/demand';
import { notTakenBy, type NotTaken } from './event-append.js';
import type { IngestObserver } from './ingest-observer.js';
import type { PoolRegistry } from './pool-registry.js';
import { keptS, type Lateness } from './retention.loop.js';

/** A piece of a pool's past, in buckets of the pool. */
export interface HistoryPiece {
  pool: string;
  /** Names what is brought in: pieces of one name follow each other in time. */
  name: string;
  /** Of whole buckets. */
  fromMs: number;
  toMs: number;
  /** In [fromMs, toMs), at most {@link MAX_HISTORY_BUCKETS}; those without arrivals may be left out. */
  buckets: readonly HistoryBucket[];
  /** It is the last one: who learns from the past shall look again. */
  isLast: boolean;
}

/** Whole buckets that can be brought in. */
export interface HistoryRoom {
  /** What is older is not kept. */
  fromMs: number;
  /** Here other demand of the pool begins, or the bucket that is still open. */
  toMs: number;
}

export interface HistoryStanding extends HistoryRoom {
  bucketS: number;
  /** Up to here the history is in; undefined: nothing of it. */
  includedToMs: number | undefined;
}

export type TakenPiece =
  /** The table holds everything up to here. */
  | { outcome: 'included'; toMs: number }
  /** A part of it is there already, up to here. */
  | { outcome: 'overlaps'; toMs: number }
  /** It does not lie where there is room. */
  | { outcome: 'outside'; room: HistoryRoom }
  /** The pool has {@link MAX_HISTORIES} already. */
  | { outcome: 'too-many' }
  /** The table has not taken it yet; the same piece again does no harm. */
  | { outcome: 'pending' }
  | { outcome: NotTaken };

/** Buckets of one piece, which becomes one message: 400 kB. */
export const MAX_HISTORY_BUCKETS = 1_000;
/** Histories of one pool, the sources that measure it among them: each is a chain that every reader of demand holds. */
export const MAX_HISTORIES = 50;
/** Pieces that wait for the table at once. */
const MAX_WAITING = 16;
const INCLUDED_WITHIN_MS = 15_000;
const LOOK_MS = 50;
/** Bringing in takes its time, in which what is the oldest at its beginning grows too old to be kept. */
const GRACE_MS = 3_600_000;

/**
 * Brings the past of a pool in, piece by piece. Each piece continues the chain of its name in the demand of the pool, so
 * that one that is sent again counts once, and ends where other demand begins, so that nothing is counted by both.
 */
export class HistoryImport {
  private waiting = 0;

  constructor(
    private readonly given: {
      log: EventLog;
      store: Pick<DemandStore, 'chainsOf' | 'poolStanding'>;
      pools: Pick<PoolRegistry, 'settingsOf'>;
      late: Lateness;
      nowMs: () => number;
      observer: Pick<IngestObserver, 'historyTaken' | 'appendFailed'>;
    },
  ) {}

  /** Up to when a history is in, and what can be brought in. */
  async standing({ pool, name }: Pick<HistoryPiece, 'pool' | 'name'>): Promise<HistoryStanding> {
    const partition = historyPartition(name);
    const held = await this.given.store.poolStanding({ pool, partition });
    const { bucketS } = this.given.pools.settingsOf(pool);
    return { bucketS, includedToMs: endOf(partition, held.chains), ...this.room(pool, held.firstMs) };
  }

  async take(piece: HistoryPiece): Promise<TakenPiece> {
    if (this.waiting >= MAX_WAITING) return this.counted({ outcome: 'overloaded' });
    this.waiting++;
    try {
      return this.counted(await this.bringIn(piece));
    } finally {
      this.waiting--;
    }
  }

  private counted(taken: TakenPiece): TakenPiece {
    this.given.observer.historyTaken(taken.outcome);
    return taken;
  }

  private async bringIn(piece: HistoryPiece): Promise<TakenPiece> {
    const { pool, name, toMs, isLast } = piece;
    const { bucketS } = this.given.pools.settingsOf(pool);
    const partition = historyPartition(name);
    const held = await this.given.store.poolStanding({ pool, partition });
    const includedToMs = endOf(partition, held.chains) ?? -1;
    if (includedToMs < toMs) {
      const refused = this.refusal(piece, held, includedToMs);
      if (refused !== undefined) return refused;
      const range = { partition, from: includedToMs, to: toMs };
      const notTaken = await this.append(historyPartial({ ...piece, bucketS, range }));
      if (notTaken !== undefined) return { outcome: notTaken };
      if (!(await this.isIncluded({ pool, partition, toMs }))) return { outcome: 'pending' };
    }
    const notTaken = isLast ? await this.append(historyEnd({ pool, bucketS, partition, toMs })) : undefined;
    if (notTaken !== undefined) return { outcome: notTaken };
    return { outcome: 'included', toMs: Math.max(toMs, includedToMs) };
  }

  private refusal(
    { pool, fromMs, toMs }: HistoryPiece,
    { chains, firstMs }: PoolStanding,
    includedToMs: number,
  ): TakenPiece | undefined {
    if (includedToMs > fromMs) return { outcome: 'overlaps', toMs: includedToMs };
    const measured = chains.filter(({ partition }) => isSampledPartition(partition));
    if (includedToMs < 0 && measured.length >= MAX_HISTORIES) return { outcome: 'too-many' };
    const room = this.room(pool, firstMs);
    if (fromMs < room.fromMs - GRACE_MS || toMs > room.toMs) return { outcome: 'outside', room };
    return undefined;
  }

  /** What a history has brought in lies before its end: demand from there on (`otherMs`) is other demand. */
  private room(pool: string, otherMs: number | undefined): HistoryRoom {
    const { pools, late } = this.given;
    const settings = pools.settingsOf(pool);
    const { bucketS } = settings;
    const nowMs = this.given.nowMs();
    const keptFromMs = Math.max(0, nowMs - keptS(settings, late) * 1000);
    return {
      fromMs: bucketStartMs(keptFromMs + bucketS * 1000 - 1, bucketS),
      toMs: bucketStartMs(Math.min(nowMs, otherMs ?? Infinity), bucketS),
    };
  }

  private async append(partial: DemandPartial): Promise<NotTaken | undefined> {
    try {
      await this.given.log.append(TOPICS.demand, [{ key: partial.pool, value: JSON.stringify(partial) }]);
      return undefined;
    } catch (error) {
      this.given.observer.appendFailed(error as Error);
      return notTakenBy(error);
    }
  }

  /** What is awaited is a table that another process may write, which tells nobody. */
  private async isIncluded(of: { pool: string; partition: number; toMs: number }): Promise<boolean> {
    const deadlineMs = performance.now() + INCLUDED_WITHIN_MS;
    while (performance.now() < deadlineMs) {
      const includedToMs = endOf(of.partition, await this.given.store.chainsOf(of.pool));
      if (includedToMs !== undefined && includedToMs >= of.toMs) return true;
      await delay(LOOK_MS);
    }
    return false;
  }
}

/** Up to when a source partition is included; undefined: nothing of it. */
function endOf(partition: number, chains: readonly DemandChainRow[]): number | undefined {
  return chains.find((chain) => chain.partition === partition)?.nextOffset;
}
