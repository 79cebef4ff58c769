import { setTimeout as delay } from 'node:timers/promises';
import { TOPICS, type EventLog } from '#adapters/event-log';
import type { DemandChainRow, DemandStore, HistoryClaim, PoolStanding } from '#adapters/store';
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
  /** In [fromMs, toMs), at most {@link MAX_HISTORY_BUCKETS}; what is left out is not known. */
  buckets: readonly HistoryBucket[];
  /** It is the last one: who learns from the past shall look again. */
  isLast: boolean;
}

/** Whole buckets that can be brought in. */
export interface HistoryRoom {
  /** What is older is not kept, or not in buckets of this length. */
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
  /** The table has not taken it yet, or what was let in before it; the same piece again does no harm. */
  | { outcome: 'pending' }
  | { outcome: NotTaken };

/** Buckets of one piece, which becomes one message: 400 kB. */
export const MAX_HISTORY_BUCKETS = 1_000;
/** Histories of one pool, the sources that measure it among them: each is a chain that every reader of demand holds. */
export const MAX_HISTORIES = 50;
/** Pieces that wait for the table at once. */
const MAX_WAITING = 16;
const INCLUDED_WITHIN_MS = 15_000;
/** Who was let in and has ended before the log had its piece keeps the others out for this long: no append takes so long. */
const CLAIM_S = 120;
const LOOK_MS = 50;
/** Bringing in takes its time, in which what is the oldest at its beginning grows too old to be kept. */
const GRACE_MS = 3_600_000;

/**
 * Brings the past of a pool in, piece by piece. Each piece continues the chain of its name in the demand of the pool, so
 * that one that is sent again counts once, and ends where other demand begins, so that nothing is counted by both. That
 * is judged by the table, so of all histories of a pool one piece is under way at a time, whichever process takes it: the
 * store lets it in, and the next one when the table holds it.
 */
export class HistoryImport {
  private waiting = 0;

  constructor(
    private readonly given: {
      log: EventLog;
      store: Pick<DemandStore, 'chainsOf' | 'poolStanding' | 'claimHistory'>;
      pools: Pick<PoolRegistry, 'settingsOf'>;
      late: Lateness;
      nowMs: () => number;
      observer: Pick<IngestObserver, 'historyTaken' | 'appendFailed'>;
    },
  ) {}

  /** Up to when a history is in, and what can be brought in. */
  async standing({ pool, name }: Pick<HistoryPiece, 'pool' | 'name'>): Promise<HistoryStanding> {
    const partition = historyPartition(name);
    const { bucketS } = this.given.pools.settingsOf(pool);
    const held = await this.given.store.poolStanding({ pool, bucketS, partition });
    return { bucketS, includedToMs: endOf(partition, held.chains), ...this.room(pool, held) };
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
    const deadlineMs = performance.now() + INCLUDED_WITHIN_MS;
    const admitted = await this.admission(piece, { bucketS, partition, deadlineMs });
    if ('outcome' in admitted) return admitted;
    const { includedToMs } = admitted;
    if (includedToMs < toMs) {
      const range = { partition, from: includedToMs, to: toMs };
      const notTaken = await this.append(historyPartial({ ...piece, bucketS, range }));
      if (notTaken !== undefined) return { outcome: notTaken };
      if (!(await this.isIncluded({ pool, partition, toMs }, deadlineMs))) return { outcome: 'pending' };
    }
    const notTaken = isLast ? await this.append(historyEnd({ pool, bucketS, partition, toMs })) : undefined;
    if (notTaken !== undefined) return { outcome: notTaken };
    return { outcome: 'included', toMs: Math.max(toMs, includedToMs) };
  }

  /** Why a piece cannot come in, or up to when its history is in (−1: nothing of it), which holds until the piece is in. */
  private async admission(
    piece: HistoryPiece,
    { bucketS, partition, deadlineMs }: { bucketS: number; partition: number; deadlineMs: number },
  ): Promise<TakenPiece | { includedToMs: number }> {
    const { store } = this.given;
    const { pool, toMs } = piece;
    for (;;) {
      const held = await store.poolStanding({ pool, bucketS, partition });
      const includedToMs = endOf(partition, held.chains) ?? -1;
      if (includedToMs >= toMs) return { includedToMs };
      const refused = this.refusal(piece, held, includedToMs);
      if (refused !== undefined) return refused;
      const isFree = !isOthers(held, partition);
      if (isFree && (await store.claimHistory({ pool, partition, toMs }, held.claim)))
        return { includedToMs };
      if (performance.now() > deadlineMs) return { outcome: 'pending' };
      await delay(LOOK_MS);
    }
  }

  private refusal(
    { pool, fromMs, toMs }: HistoryPiece,
    held: PoolStanding,
    includedToMs: number,
  ): TakenPiece | undefined {
    if (includedToMs > fromMs) return { outcome: 'overlaps', toMs: includedToMs };
    const measured = held.chains.filter(({ partition }) => isSampledPartition(partition));
    if (includedToMs < 0 && measured.length >= MAX_HISTORIES) return { outcome: 'too-many' };
    const room = this.room(pool, held);
    const earliestMs = Math.max(room.fromMs - GRACE_MS, held.fromMs);
    if (fromMs < earliestMs || toMs > room.toMs) return { outcome: 'outside', room };
    return undefined;
  }

  /** What a history has brought in lies before its end: demand from there on (`firstMs`) is other demand. */
  private room(pool: string, { fromMs, firstMs = Infinity }: PoolStanding): HistoryRoom {
    const { pools, late } = this.given;
    const settings = pools.settingsOf(pool);
    const { bucketS } = settings;
    const nowMs = this.given.nowMs();
    const keptFromMs = Math.max(0, nowMs - keptS(settings, late) * 1000);
    return {
      fromMs: Math.max(
        bucketStartMs(keptFromMs + bucketS * 1000 - 1, bucketS),
        Math.min(fromMs, bucketStartMs(nowMs, bucketS)),
      ),
      toMs: bucketStartMs(Math.min(nowMs, firstMs), bucketS),
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
  private async isIncluded(
    of: { pool: string; partition: number; toMs: number },
    deadlineMs: number,
  ): Promise<boolean> {
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

/**
 * Whether a piece of another history was let in and is not in the table. One of the same history need not be waited for:
 * both continue the chain at the same place, and only the first one in the log counts.
 */
function isOthers({ claim, chains }: PoolStanding, partition: number): boolean {
  if (claim === undefined || claim.partition === partition || claim.ageS > CLAIM_S) return false;
  return !isHeld(claim, chains);
}

function isHeld({ partition, toMs }: HistoryClaim, chains: readonly DemandChainRow[]): boolean {
  return (endOf(partition, chains) ?? -1) >= toMs;
}
