import { readable, TOPICS, type EventLog, type StartOffset, type StoredRecord } from '#adapters/event-log';
import type { DecisionRecord, DecisionStore } from '#adapters/store';
import { decisionRecord } from './decision-record.js';

const PAGE_RECORDS = 1_000;
/** Of a table that is further behind, the newest records count. */
const MAX_TAIL_RECORDS = 20_000;
/** The consumer of the table reports what is no decision. */
const REPORTED_ELSEWHERE = { recordUnreadable: () => undefined };

/** What was decided last for a pool, whoever decided it: the table, and what of the topic it does not hold yet. */
export class RecordedDecisions {
  constructor(
    private readonly log: Pick<EventLog, 'read' | 'partitionOf' | 'endOffset'>,
    private readonly store: Pick<DecisionStore, 'startAt' | 'latestOf'>,
  ) {}

  async latestOf(pools: string[]): Promise<Map<string, DecisionRecord>> {
    const wanted = new Set(pools);
    const numbers = new Set(pools.map((key) => this.log.partitionOf({ topic: TOPICS.decisions, key })));
    const partitions = [...numbers].map((partition) => ({ topic: TOPICS.decisions, partition }));
    // First: what the table takes in meanwhile is then found in both, instead of in none.
    const untaken = await this.store.startAt(partitions);
    const latest = new Map<string, DecisionRecord>(await this.store.latestOf(pools));
    for (const at of untaken) {
      for await (const record of this.since(at)) {
        const { pool, atMs } = record.decision;
        const known = latest.get(pool);
        if (wanted.has(pool) && (known === undefined || known.decision.atMs <= atMs))
          latest.set(pool, record);
      }
    }
    return latest;
  }

  private async *since({ offset, ...at }: StartOffset): AsyncGenerator<DecisionRecord> {
    const endOffset = await this.log.endOffset(at);
    let from = Math.max(offset, endOffset - MAX_TAIL_RECORDS);
    while (from < endOffset) {
      const records = await this.log.read({ ...at, offset: from, maxRecords: PAGE_RECORDS });
      if (records.length === 0) return;
      yield* readable({ ...at, from, records, endOffset }, decisionRecord, REPORTED_ELSEWHERE);
      from = (records.at(-1) as StoredRecord).offset + 1;
    }
  }
}
