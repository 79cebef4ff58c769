import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  TOPICS,
  type AtomicStep,
  type EventLog,
  type NewRecord,
  type RecordBatch,
  type StartOffset,
  type StoredRecord,
  type TopicPartition,
} from '#adapters/event-log';
import {
  ingestStep,
  replayIngest,
  restoreIngest,
  resumeIngest,
  type IngestMemory,
  type IngestOutput,
  type IngestRecord,
  type IngestSettings,
  type StateRecord,
} from '#domain/demand';
import { parseForCounting } from '#domain/events';
import { cameIn, deadLetterRecord, type PayloadKeeping } from './dead-letter.js';
import type { CountedBatch } from './ingest-observer.js';
import type { PoolRegistry } from './pool-registry.js';

/** Records read at a time on a restart. */
const PAGE_RECORDS = 8_000;
/** Records taken in one turn of the event loop on a restart: some 10 ms, so that the router serves meanwhile. */
const TURN_RECORDS = 2_000;

/** The batch's outputs and offset, and what to report once they are committed. */
export interface CountedStep {
  step: AtomicStep;
  /** That it counts events of. */
  pools: Set<string>;
  report: Omit<CountedBatch, 'durationMs'>;
  /** To be called when the step is durable; until then the partition takes no other batch. */
  committed: () => void;
}

/** Of one take-over: the next one has another, so that what comes late of the one before changes nothing. */
interface OwnedPartition {
  /** Undefined while it is restored, and while it is ahead of the log: a step changed it and is not committed. */
  memory: IngestMemory | undefined;
  /** Next offset to be counted. */
  to: number;
}

/**
 * Execution events → demand, for the partitions this instance owns. The memory of a partition changes before its step
 * is committed; when that fails the memory is of no use, and the next assignment restores what was committed.
 */
export class PartitionCounting {
  private readonly owned = new Map<number, OwnedPartition>();

  constructor(
    private readonly log: EventLog,
    private readonly pools: PoolRegistry,
    private readonly settings: IngestSettings,
    private readonly keeping: PayloadKeeping,
  ) {}

  /** Throws when the partition's memory is not that of the batch's beginning. */
  count(batch: RecordBatch): CountedStep {
    const { topic, partition, from, records } = batch;
    const own = this.owned.get(partition);
    const memory = own?.memory;
    if (own === undefined || memory === undefined || own.to !== from)
      throw new Error(
        `ingest: ${topic}[${partition}] must be restored up to ${from} first, got ${memory && own?.to}`,
      );
    own.memory = undefined;
    const outputs: IngestOutput[] = [];
    for (let taken = 0; taken < records.length;) {
      const output = this.step(partition, parsedOf(records, taken), memory);
      outputs.push(output);
      taken += output.taken;
    }
    const to = (records.at(-1) as StoredRecord).offset + 1;
    const committed = () => void Object.assign(own, { memory, to });
    const pools = new Set(outputs.flatMap(({ partials }) => partials.map(({ pool }) => pool)));
    const step = stepOf(batch, outputs, this.keeping);
    return { step, pools, report: reportOf(batch, outputs), committed };
  }

  forget(partitions: { partition: number }[]): void {
    for (const { partition } of partitions) this.owned.delete(partition);
  }

  /**
   * Takes a partition over: the state topic says where it stands, the log what happened just before. `progressed` is
   * called for each piece that was read. Throws when it was lost, or taken over once more, meanwhile, and when a record
   * of the state cannot be read.
   */
  async restore(
    { topic, partition }: TopicPartition,
    progressed: () => void,
  ): Promise<StartOffset & { replayed: number }> {
    const own: OwnedPartition = { memory: undefined, to: 0 };
    this.owned.set(partition, own);
    const goOn = () => {
      if (this.owned.get(partition) !== own)
        throw new Error(`ingest: ${topic}[${partition}] must be kept while it is restored, got lost`);
      progressed();
    };
    const restored = restoreIngest(await this.stateOf(partition, goOn));
    const from = await this.log.offsetAtTime({ topic, partition, timeMs: restored.replayFromMs });
    let replayed = 0;
    for await (const records of this.turns({ topic, partition }, from, restored.to)) {
      goOn();
      replayIngest(records.map(toIngest), restored, this.settings);
      replayed += records.length;
    }
    goOn();
    Object.assign(own, { memory: resumeIngest(restored), to: restored.to });
    return { topic, partition, offset: restored.to, replayed };
  }

  private async stateOf(partition: number, goOn: () => void): Promise<StateRecord[]> {
    const state = new Map<string, string>();
    for await (const records of this.turns({ topic: TOPICS.ingestState, partition }, 0)) {
      goOn();
      for (const { key, value, unreadable } of records) {
        if (unreadable !== undefined)
          throw new Error(
            `ingest: the state of partition ${partition} must be readable, got ${unreadable} (hint: ${TOPICS.ingestState} needs a compression.type of uncompressed, gzip, zstd or producer)`,
          );
        if (value === null) state.delete(key);
        else state.set(key, value);
      }
    }
    return [...state].map(([key, value]) => ({ key, value }));
  }

  private step(partition: number, records: Iterable<IngestRecord>, memory: IngestMemory): IngestOutput {
    const { settings, pools } = this;
    const admits = (pool: string) => pools.admits(pool);
    const poolSettings = (pool: string) => pools.settingsOf(pool);
    return ingestStep({ partition, records, settings, admits, poolSettings }, memory).output;
  }

  /** What the partition holds of [from, to), in pieces, each in a turn of the event loop of its own. */
  private async *turns(at: TopicPartition, from: number, to = Infinity): AsyncGenerator<StoredRecord[]> {
    let offset = from;
    while (offset < to) {
      const page = await this.log.read({ ...at, offset, maxRecords: PAGE_RECORDS });
      const within = page.filter((record) => record.offset < to);
      for (let i = 0; i < within.length; i += TURN_RECORDS) {
        await nextTurn();
        yield within.slice(i, i + TURN_RECORDS);
      }
      const last = page.at(-1);
      if (last === undefined) return;
      offset = last.offset + 1;
    }
  }
}

/** One after the other, as they are counted: a batch of parsed events would outlive many of its collections. */
function* parsedOf(records: StoredRecord[], from: number): Generator<IngestRecord> {
  for (let i = from; i < records.length; i++) yield toIngest(records[i] as StoredRecord);
}

function toIngest(record: StoredRecord): IngestRecord {
  const { offset, timestampMs, unreadable } = record;
  const parsed: IngestRecord['parsed'] =
    unreadable === undefined
      ? parseForCounting(record)
      : { ok: false, reason: 'unreadable', detail: unreadable };
  return { offset, timestampMs, parsed };
}

function stepOf(batch: RecordBatch, outputs: IngestOutput[], keeping: PayloadKeeping): AtomicStep {
  const { topic, partition, records } = batch;
  const partials = outputs.flatMap((output) => output.partials);
  const state = outputs.flatMap((output) => output.state);
  const deadLetters = outputs.flatMap((output) => output.deadLetters);
  const original = new Map(deadLetters.length > 0 ? records.map((record) => [record.offset, record]) : []);
  const last = records.at(-1) as StoredRecord;
  return {
    outputs: [
      { topic: TOPICS.demand, records: partials.map((p) => ({ key: p.pool, value: JSON.stringify(p) })) },
      { topic: TOPICS.ingestState, records: state.map((record): NewRecord => ({ ...record, partition })) },
      {
        topic: TOPICS.deadLetters,
        records: deadLetters.map(({ offset, reason, detail }) => {
          const record = original.get(offset) as StoredRecord;
          const source = `${topic}[${partition}]@${offset}`;
          const about = { topic, partition, offset, timeMs: record.timestampMs };
          return deadLetterRecord({ ...cameIn(record), reason, detail, source, about }, keeping);
        }),
      },
    ],
    offsets: [{ topic, partition, offset: last.offset + 1 }],
  };
}

function reportOf({ partition, records }: RecordBatch, outputs: IngestOutput[]): CountedStep['report'] {
  const counts = { duplicates: 0, late: 0, expired: 0, forgottenEarly: 0 };
  const deadLetters: CountedBatch['deadLetters'] = {};
  for (const output of outputs) {
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += output.counts[name];
    for (const { reason } of output.deadLetters) deadLetters[reason] = (deadLetters[reason] ?? 0) + 1;
  }
  return { partition, records: records.length, counts, deadLetters };
}
