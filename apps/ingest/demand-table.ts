import {
  TOPICS,
  type EventLog,
  type RecordBatch,
  type StartOffset,
  type StoredRecord,
  type TopicPartition,
} from '#adapters/event-log';
import type { DemandChainRow, DemandSeriesRow, DemandStore, DemandWrite } from '#adapters/store';
import {
  addToBucket,
  emptyBucket,
  extendChain,
  MAX_AHEAD_MS,
  type Bucket,
  type Chain,
  type DemandPartial,
} from '#domain/demand';
import type { IngestObserver } from './ingest-observer.js';

/** Sums kept in memory for one partition of demand.v1, so that a bucket is read from the store once: 1 to 5 kB each. */
export const MAX_HELD_BUCKETS = 4_000;

/** What is known of one partition of demand.v1. A pool's partials are all in the same one. */
interface TablePartition {
  chains: Map<string, Map<number, Chain>>;
  /** How long each pool's buckets are, and from when on. */
  series: Map<string, DemandSeriesRow>;
  /** Sums by place, least recently changed first. */
  sums: Map<string, { pool: string; bucket: Bucket }>;
  /** Where the store says that the table stands. */
  nextOffset: number;
  /** The memory is ahead of the store: a write changed it and is not committed. */
  ahead: boolean;
}

/**
 * `demand.v1` → the store's table of demand: the sums of each pool and bucket, what they include and the topic's offset
 * change in one transaction of the store.
 */
export class DemandTable {
  private readonly owned = new Map<number, TablePartition>();

  constructor(
    private readonly log: EventLog,
    private readonly store: DemandStore,
    private readonly given: {
      observer: Pick<IngestObserver, 'partialApplied' | 'partialUnreadable' | 'seriesRestarted'>;
      bucketSOf: (pool: string) => number;
      nowMs: () => number;
    },
  ) {}

  /** Where the store says that each partition stands. */
  async restore(partitions: TopicPartition[]): Promise<StartOffset[]> {
    const { chains: rows, series: kept, offsets } = await this.store.standing();
    return partitions.map(({ topic, partition }) => {
      const isOwn = ({ pool }: { pool: string }) => this.log.partitionOf({ topic, key: pool }) === partition;
      const chains = chainsOf(rows.filter(isOwn));
      const series = new Map(kept.filter(isOwn).map((row) => [row.pool, row]));
      const held = offsets.find((offset) => offset.topic === topic && offset.partition === partition);
      const nextOffset = held?.nextOffset ?? 0;
      this.owned.set(partition, { chains, series, sums: new Map(), nextOffset, ahead: false });
      return { topic, partition, offset: nextOffset };
    });
  }

  /** What the table includes of a pool, by source partition; undefined when another process writes it. */
  chainsOf(pool: string): ReadonlyMap<number, Chain> | undefined {
    const own = this.owned.get(this.log.partitionOf({ topic: TOPICS.demand, key: pool }));
    return own === undefined ? undefined : (own.chains.get(pool) ?? new Map<number, Chain>());
  }

  forget(partitions: TopicPartition[]): void {
    for (const { partition } of partitions) this.owned.delete(partition);
  }

  /** Throws when the store does: the memory is then of no use, and the next assignment reads the store again. */
  async apply({ topic, partition, from, records }: RecordBatch): Promise<void> {
    const own = this.owned.get(partition);
    if (own === undefined || own.ahead || own.nextOffset !== from)
      throw new Error(`demand table: a partition must be restored first, got ${topic}[${partition}]`);
    own.ahead = true;
    const partials = records.flatMap((record) => this.decode(partition, record) ?? []);
    await this.hold(partials, own);
    const series = await this.begun(partials, own);
    const changes = this.add(partials, own);
    const nextOffset = (records.at(-1) as StoredRecord).offset + 1;
    await this.store.write({ ...changes, series, step: { topic, partition, from, nextOffset } });
    own.nextOffset = nextOffset;
    own.ahead = false;
    for (const place of own.sums.keys()) {
      if (own.sums.size <= MAX_HELD_BUCKETS) break;
      own.sums.delete(place);
    }
  }

  private decode(partition: number, { value, offset }: StoredRecord): DemandPartial | undefined {
    const partial = readPartial(value);
    if (partial === undefined) this.given.observer.partialUnreadable({ partition, offset });
    return partial;
  }

  /** Reads the sums that the partials will change and the memory does not hold. */
  private async hold(partials: DemandPartial[], { sums }: TablePartition): Promise<void> {
    const missing = new Map<string, { pool: string; startMs: number }>();
    for (const { pool, buckets } of partials) {
      for (const { startMs } of buckets) {
        const place = placeOf(pool, startMs);
        if (!sums.has(place)) missing.set(place, { pool, startMs });
      }
    }
    for (const { pool, bucket } of await this.store.at([...missing.values()])) {
      sums.set(placeOf(pool, bucket.startMs), { pool, bucket });
    }
  }

  /**
   * Series that begin with these partials: of new pools, and of those whose buckets have another length in the
   * configuration by now. What is kept of these from before is no part of it any more.
   */
  private async begun(partials: DemandPartial[], { series }: TablePartition): Promise<DemandSeriesRow[]> {
    const begun = new Map<string, DemandSeriesRow>();
    for (const { pool, bucketS } of partials) {
      const held = series.get(pool);
      // A process with another configuration may begin a pool, and decides nothing of one that is there.
      const isOurs = bucketS === this.given.bucketSOf(pool);
      if (held !== undefined && (held.bucketS === bucketS || !isOurs)) continue;
      const fromMs = held === undefined ? 0 : await this.endOf(held, { bucketS, partials });
      const row = { pool, bucketS, fromMs };
      if (held !== undefined) this.given.observer.seriesRestarted({ ...row, bucketSBefore: held.bucketS });
      series.set(pool, row);
      begun.set(pool, row);
    }
    return [...begun.values()];
  }

  /** Start of the first bucket of a length in which nothing of the series before has been counted. */
  private async endOf(
    { pool, bucketS: lengthS }: DemandSeriesRow,
    { bucketS, partials }: { bucketS: number; partials: DemandPartial[] },
  ): Promise<number> {
    // A clock that was far ahead once must not keep the pool from beginning.
    const beforeMs = this.given.nowMs() + MAX_AHEAD_MS;
    const unsaved = partials.filter((partial) => partial.pool === pool && partial.bucketS === lengthS);
    const starts = unsaved.flatMap(({ buckets }) => buckets.map(({ startMs }) => startMs));
    const newestMs = (await this.store.newestBefore({ pool, beforeMs })) ?? 0;
    const endMs = Math.max(newestMs, ...starts.filter((startMs) => startMs < beforeMs)) + lengthS * 1000;
    return Math.ceil(endMs / (bucketS * 1000)) * bucketS * 1000;
  }

  private add(partials: DemandPartial[], { chains, sums }: TablePartition): Omit<DemandWrite, 'step'> {
    const changed = new Map<string, { pool: string; bucket: Bucket }>();
    const links = new Map<string, DemandChainRow>();
    for (const partial of partials) {
      const { pool, range } = partial;
      const own = chains.get(pool) ?? new Map<number, Chain>();
      chains.set(pool, own);
      const outcome = extendChain(partial, own);
      this.given.observer.partialApplied({ pool, range, outcome });
      if (outcome === 'seen') continue;
      for (const bucket of partial.buckets) addTo(sums, changed, { pool, bucket });
      const { partition } = range;
      const { to: nextOffset, backlog, inFlight } = own.get(partition) as Chain;
      links.set(placeOf(pool, partition), { pool, partition, nextOffset, backlog, inFlight });
    }
    return { buckets: [...changed.values()], chains: [...links.values()] };
  }
}

type Sums = Map<string, { pool: string; bucket: Bucket }>;

function addTo(sums: Sums, changed: Sums, { pool, bucket }: { pool: string; bucket: Bucket }): void {
  const place = placeOf(pool, bucket.startMs);
  const sum = sums.get(place) ?? { pool, bucket: emptyBucket(bucket.startMs) };
  addToBucket(sum.bucket, bucket);
  sums.delete(place); // a Map keeps the place of the first insertion
  sums.set(place, sum);
  changed.set(place, sum);
}

function chainsOf(rows: DemandChainRow[]): TablePartition['chains'] {
  const chains: TablePartition['chains'] = new Map();
  for (const { pool, partition, nextOffset, backlog, inFlight } of rows) {
    const own = chains.get(pool) ?? new Map<number, Chain>();
    chains.set(pool, own.set(partition, { to: nextOffset, backlog, inFlight }));
  }
  return chains;
}

const placeOf = (pool: string, number: number): string => `${pool} ${number}`;

/** Only ingest writes the topic; this keeps a record that something else has written from stopping the table. */
function readPartial(value: string | null): DemandPartial | undefined {
  try {
    const partial = JSON.parse(value ?? '') as DemandPartial;
    const readable = partial.v === 1 && Number.isInteger(partial.range.to) && Array.isArray(partial.buckets);
    return readable ? partial : undefined;
  } catch {
    return undefined;
  }
}
