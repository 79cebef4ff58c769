import {
  TOPICS,
  type EventLog,
  type RecordBatch,
  type StartOffset,
  type StoredRecord,
  type TopicPartition,
} from '#adapters/event-log';
import type { DemandChainRow, DemandStore, DemandWrite } from '#adapters/store';
import {
  addToBucket,
  emptyBucket,
  extendChain,
  parsePartial,
  resumeDropped,
  type Bucket,
  type Chain,
  type DemandPartial,
} from '#domain/demand';
import type { IngestObserver } from './ingest-observer.js';

/** Sums kept in memory over all partitions, so that a bucket is read from the store once: 1 to 5 kB each. */
const MAX_HELD_BUCKETS = 20_000;

/** What is known of one partition of demand.v1. A pool's partials are all in the same one. */
interface TablePartition {
  chains: Map<string, Map<number, Chain>>;
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
  private droppedTo: ReadonlyMap<number, number> = new Map();

  constructor(
    private readonly log: EventLog,
    private readonly store: DemandStore,
    private readonly observer: Pick<IngestObserver, 'partialApplied' | 'partialUnreadable'>,
  ) {}

  /** Where the store says that each partition stands. */
  async restore(partitions: TopicPartition[]): Promise<StartOffset[]> {
    const { chains: rows, droppedTo, offsets } = await this.store.standing();
    this.droppedTo = droppedTo;
    return partitions.map(({ topic, partition }) => {
      const own = rows.filter(({ pool }) => this.log.partitionOf({ topic, key: pool }) === partition);
      const held = offsets.find((offset) => offset.topic === topic && offset.partition === partition);
      const nextOffset = held?.nextOffset ?? 0;
      this.owned.set(partition, { chains: chainsOf(own), sums: new Map(), nextOffset, ahead: false });
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
    const changes = this.add(partials, own);
    const nextOffset = (records.at(-1) as StoredRecord).offset + 1;
    await this.store.write({ ...changes, step: { topic, partition, from, nextOffset } });
    own.nextOffset = nextOffset;
    own.ahead = false;
    for (const place of own.sums.keys()) {
      if (own.sums.size <= MAX_HELD_BUCKETS / this.owned.size) break;
      own.sums.delete(place);
    }
  }

  private decode(partition: number, { value, offset }: StoredRecord): DemandPartial | undefined {
    const partial = parsePartial(value ?? '');
    if (partial === undefined) this.observer.partialUnreadable({ partition, offset });
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

  private add(partials: DemandPartial[], { chains, sums }: TablePartition): Omit<DemandWrite, 'step'> {
    const changed = new Map<string, { pool: string; bucket: Bucket }>();
    const links = new Map<string, DemandChainRow>();
    for (const partial of partials) {
      const { pool, range } = partial;
      const own = chains.get(pool) ?? new Map<number, Chain>();
      chains.set(pool, own);
      resumeDropped(partial, own, this.droppedTo);
      const outcome = extendChain(partial, own);
      this.observer.partialApplied({ pool, range, outcome });
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
