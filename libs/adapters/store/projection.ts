import type { DataSource, EntityManager } from 'typeorm';
import type { PartitionedTable } from './partitions/partitioned-table.js';
import { projectionOffsets, type ProjectionOffsetRow } from './tables.js';

/** Where a projection stands in one partition of its topic. */
export type ProjectionOffset = Omit<ProjectionOffsetRow, 'projection'>;

/** The records that one write takes in. */
export interface ProjectionStep extends ProjectionOffset {
  /** Where the writer believes that the projection stands; 0 when it never wrote. */
  from: number;
}

/**
 * The projection does not stand where the writer began: another one wrote in between, as happens when a reader is
 * expelled while its write waits. Nothing is changed; the writer reads the store again.
 */
export class ProjectionMoved extends Error {
  override name = 'ProjectionMoved';
}

/**
 * A table that is computed from a topic. Its rows and its own offsets change in one transaction of the store, so a
 * killed process neither loses nor repeats a record.
 */
export class Projection {
  constructor(
    private readonly dataSource: DataSource,
    private readonly name: string,
    private readonly table: PartitionedTable,
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

  /**
   * Writes rows of these times. Throws {@link ProjectionMoved}, with nothing written, unless the projection stands at
   * `step.from`.
   */
  async commit(
    { step, times }: { step: ProjectionStep; times: readonly number[] },
    write: (transaction: EntityManager) => Promise<void>,
  ): Promise<void> {
    try {
      await this.table.cover(times);
      await this.dataSource.transaction(async (transaction) => {
        // First: its row stays locked until the end, so that of two writers the second one sees the first.
        if (!(await this.move(step, transaction))) {
          const { topic, partition, from } = step;
          throw new ProjectionMoved(
            `projection ${this.name} of ${topic}[${partition}]: must stand at ${from}, does not`,
          );
        }
        await write(transaction);
      });
    } catch (error) {
      this.table.forget();
      throw error;
    }
  }

  private async move({ from, ...to }: ProjectionStep, transaction: EntityManager): Promise<boolean> {
    const { nextOffset, ...at } = { projection: this.name, ...to };
    const { affected } = await transaction.update(
      projectionOffsets,
      { ...at, nextOffset: from },
      { nextOffset },
    );
    if (affected === 1 || from !== 0) return affected === 1;
    const insert = transaction.createQueryBuilder().insert().into(projectionOffsets);
    const { raw } = await insert
      .values({ ...at, nextOffset })
      .orIgnore()
      .returning('topic')
      .execute();
    return (raw as unknown[]).length === 1;
  }
}
