import type { DataSource, EntityManager } from 'typeorm';
import { projectionOffsets, type ProjectionOffsetRow } from './tables.js';

/** Where a projection stands in one partition of its topic. */
export type ProjectionOffset = Omit<ProjectionOffsetRow, 'projection'>;

/**
 * A table that is computed from a topic. Its rows and its own offsets change in one transaction of the store, so a
 * killed process neither loses nor repeats a record.
 */
export class Projection {
  constructor(
    private readonly dataSource: DataSource,
    private readonly name: string,
  ) {}

  offsets(within: EntityManager = this.dataSource.manager): Promise<ProjectionOffset[]> {
    return within.findBy(projectionOffsets, { projection: this.name });
  }

  /** Where a reader that writes this table goes on in each of its partitions. */
  async startAt<At extends { topic: string; partition: number }>(
    partitions: readonly At[],
  ): Promise<(At & { offset: number })[]> {
    const kept = await this.offsets();
    return partitions.map((at) => {
      const row = kept.find(({ topic, partition }) => topic === at.topic && partition === at.partition);
      return { ...at, offset: row?.nextOffset ?? 0 };
    });
  }

  async commit(
    offset: ProjectionOffset,
    write: (transaction: EntityManager) => Promise<void>,
  ): Promise<void> {
    await this.dataSource.transaction(async (transaction) => {
      await write(transaction);
      const row = { projection: this.name, ...offset };
      await transaction.upsert(projectionOffsets, row, ['projection', 'topic', 'partition']);
    });
  }
}
