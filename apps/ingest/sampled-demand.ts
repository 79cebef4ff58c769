import { TOPICS, type EventLog } from '#adapters/event-log';
import type { DemandSampler } from '#adapters/demand-samplers';
import {
  bucketStartMs,
  sampledPartial,
  sampledPartition,
  type Chain,
  type DemandPartial,
  type DemandSample,
} from '#domain/demand';
import type { DemandTable } from './demand-table.js';
import type { IngestObserver } from './ingest-observer.js';

/** A pool whose demand is measured by another system. */
export interface SampledPool {
  /** Name of the source in the configuration. */
  source: string;
  pool: string;
  sampler: DemandSampler;
  /** What is older than this is known to the other system, seconds. */
  delayS: number;
}

/** Buckets asked for at a time; what passed before, while nobody asked for longer than that, is never known. */
const MAX_BUCKETS = 500;
/** Buckets of one record: with sketches of service times they have some 3 kB each, and a record may have 1 MiB. */
const BUCKETS_PER_RECORD = 100;
/** After a failure a pool is asked for again in this time. */
const RETRY_MS = 5_000;
/** Pools asked for at once. */
const MAX_ASKED = 8;

/**
 * Asks for each pool's closed buckets and appends what they hold to demand. A pool is asked for by the one process that
 * writes its part of the demand table, which knows up to when it is known; what was appended twice in between, readers
 * have seen already.
 */
export class SampledDemand {
  /** Arrivals in no bucket yet, by the end of the chain that they belong to: a span may be asked for again. */
  private readonly fractions = new Map<SampledPool, Map<number, number>>();
  private readonly notBeforeMs = new Map<SampledPool, number>();
  private readonly askedMs = new Map<SampledPool, number>();

  constructor(
    private readonly given: {
      log: EventLog;
      table: Pick<DemandTable, 'chainsOf'>;
      /** Of one source: they are asked for one after the other, some at a time. */
      pools: readonly SampledPool[];
      bucketSOf: (pool: string) => number;
      nowMs: () => number;
      observer: Pick<IngestObserver, 'sampled' | 'sampleFailed'>;
    },
  ) {}

  async run(signal: AbortSignal): Promise<void> {
    const askedMs = ({ sampled }: Span) => this.askedMs.get(sampled) ?? 0;
    const due = this.given.pools.flatMap((sampled) => this.spanOf(sampled) ?? []);
    // Those that were not asked for the longest come first: whoever does not answer must not stand before the rest again.
    const waiting = due.toSorted((one, other) => askedMs(one) - askedMs(other)).values();
    const askOn = async () => {
      for (const span of waiting) {
        if (signal.aborted) return;
        await this.ask(span);
      }
    };
    await Promise.all(Array.from({ length: MAX_ASKED }, askOn));
  }

  private spanOf(sampled: SampledPool): Span | undefined {
    const { table, bucketSOf, nowMs } = this.given;
    const chains = table.chainsOf(sampled.pool);
    if (chains === undefined || nowMs() < (this.notBeforeMs.get(sampled) ?? 0)) return undefined;
    const partition = sampledPartition(sampled.source);
    const chain = chains.get(partition);
    const bucketS = bucketSOf(sampled.pool);
    const bucketMs = bucketS * 1000;
    const toMs = bucketStartMs(nowMs() - sampled.delayS * 1000, bucketS);
    // The first whole one, should the buckets have had another length before.
    const askedToMs = chain && Math.ceil(chain.to / bucketMs) * bucketMs;
    const fromMs = Math.max(askedToMs ?? toMs - bucketMs, toMs - MAX_BUCKETS * bucketMs);
    return fromMs < toMs ? { sampled, partition, chain, bucketS, fromMs, toMs } : undefined;
  }

  private async ask({ sampled, partition, chain, bucketS, fromMs, toMs }: Span): Promise<void> {
    const { log, observer, nowMs } = this.given;
    const { source, pool, sampler } = sampled;
    this.askedMs.set(sampled, nowMs());
    try {
      const samples = await sampler.sample({ fromMs, toMs, bucketS });
      const last = samples.at(-1);
      observer.sampled({ source, asked: (toMs - fromMs) / (bucketS * 1000), told: samples.length });
      // Of the buckets after the last one nothing is known yet: they are not empty, they are asked for again.
      if (last === undefined) return void this.notBeforeMs.set(sampled, nowMs() + RETRY_MS);
      const partials = this.partialsOf({ sampled, partition, chain, bucketS }, samples);
      await log.append(
        TOPICS.demand,
        partials.map((partial) => ({ key: pool, value: JSON.stringify(partial) })),
      );
    } catch (error) {
      this.notBeforeMs.set(sampled, nowMs() + RETRY_MS);
      observer.sampleFailed({ source, pool, error: error as Error });
    }
  }

  private partialsOf(
    { sampled, partition, chain, bucketS }: Pick<Span, 'sampled' | 'partition' | 'chain' | 'bucketS'>,
    samples: readonly DemandSample[],
  ): DemandPartial[] {
    const fractions = this.fractionsFrom(sampled, chain);
    let at: Pick<Chain, 'to'> | undefined = chain;
    const partials: DemandPartial[] = [];
    for (let i = 0; i < samples.length; i += BUCKETS_PER_RECORD) {
      const some = samples.slice(i, i + BUCKETS_PER_RECORD);
      const toMs = (some.at(-1) as DemandSample).startMs + bucketS * 1000;
      const span = { pool: sampled.pool, partition, bucketS, samples: some, toMs };
      const made = sampledPartial({ ...span, fraction: fractions.get(at?.to ?? -1) ?? 0 }, at);
      fractions.set(toMs, made.fraction);
      partials.push(made.partial);
      at = { to: toMs };
    }
    return partials;
  }

  /** Those that may be asked for again. */
  private fractionsFrom(sampled: SampledPool, chain: Chain | undefined): Map<number, number> {
    const known = this.fractions.get(sampled) ?? new Map<number, number>();
    const kept = new Map([...known].filter(([toMs]) => toMs >= (chain?.to ?? -1)));
    this.fractions.set(sampled, kept);
    return kept;
  }
}

interface Span {
  sampled: SampledPool;
  partition: number;
  chain: Chain | undefined;
  bucketS: number;
  fromMs: number;
  toMs: number;
}
