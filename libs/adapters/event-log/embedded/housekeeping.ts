import { Compaction } from './compaction.js';
import type { LogEngine } from './log-tables.js';
import type { Partition } from './partition.js';

/** Retention, compaction, and what PostgreSQL's background workers would do: the embedded engine has none. */
export class Housekeeping {
  private readonly compaction: Compaction;
  private running: Promise<void> | undefined;

  constructor(
    private readonly engine: LogEngine,
    private readonly given: {
      partitions: () => Partition[];
      /** Offset that every group has read to. */
      readTo: (partition: Partition) => number;
      nowMs: () => number;
    },
  ) {
    this.compaction = new Compaction(engine);
  }

  /** One round, or the end of the one under way. Does all it can, then rejects with the first thing it could not do. */
  run(): Promise<void> {
    this.running ??= this.clean().finally(() => (this.running = undefined));
    return this.running;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.running?.catch(() => undefined); // whoever started it is told
  }

  private async clean(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (work: Promise<unknown>) => {
      await work.catch((error: unknown) => failures.push(error));
    };
    const nowMs = this.given.nowMs();
    const [compacted, dated] = [true, false].map((kind) =>
      this.given.partitions().filter(({ topic }) => topic.compacted === kind),
    ) as [Partition[], Partition[]];
    // What makes room comes first: on a full disk nothing can be compacted.
    for (const partition of dated) await attempt(this.dropExpired(partition, nowMs));
    for (const partition of compacted) await attempt(this.compaction.run(partition, { nowMs }));
    // All tables, the store's and the catalogue's too: rows that were deleted or replaced are no room until then.
    await attempt(this.engine.query('vacuum'));
    await attempt(this.engine.query('checkpoint'));
    if (failures.length > 0) throw failures[0];
  }

  /** Drops records past their retention; the newest chunk stays, because it holds the partition's end. */
  private async dropExpired(partition: Partition, nowMs: number): Promise<void> {
    const { topic, index } = partition;
    await this.engine.query(
      `delete from log_chunks where topic_id = $1 and partition = $2 and appended_ms < $3 and next_offset <= $4
         and next_offset < (select max(next_offset) from log_chunks where topic_id = $1 and partition = $2)`,
      [topic.id, index, nowMs - topic.retentionMs, this.given.readTo(partition)],
    );
  }
}
