import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import {
  LogContext,
  TOPICS,
  type RecordBatch,
  type StartOffset,
  type TopicPartition,
} from '#adapters/event-log';
import { IngestObserver } from './ingest-observer.js';
import { PartitionCounting } from './partition-counting.js';
import { PoolRegistry } from './pool-registry.js';

const executions = { topic: TOPICS.executions, group: 'ingest', commits: true };

@Controller()
export class IngestConsumer {
  constructor(
    private readonly counting: PartitionCounting,
    private readonly pools: PoolRegistry,
    private readonly observer: IngestObserver,
  ) {}

  @EventPattern(executions)
  async count(@Payload() batch: RecordBatch, @Ctx() context: LogContext): Promise<void> {
    const startedMs = performance.now();
    let counted = this.counting.count(batch);
    while (!(await this.pools.createAll(counted.pools))) {
      // One of its pools is one too many: the events of that one must become dead letters.
      // What was committed last may not be visible yet: then counting throws, and the group takes over anew.
      await this.counting.restore(batch, () => undefined);
      counted = this.counting.count(batch);
    }
    const { step, report, committed } = counted;
    await context.commit(step);
    committed();
    this.observer.counted({ ...report, durationMs: performance.now() - startedMs });
  }

  @EventPattern({ ...executions, on: 'assigned' })
  async restore(@Payload() partitions: TopicPartition[], @Ctx() context: LogContext): Promise<StartOffset[]> {
    const starts: StartOffset[] = [];
    // One after the other: each may hold a window of the log in memory while it is read.
    for (const at of partitions) {
      const startedMs = performance.now();
      const { replayed, ...start } = await this.counting.restore(at, () => context.progressed());
      const durationMs = performance.now() - startedMs;
      this.observer.restored({ partition: at.partition, replayed, durationMs });
      starts.push(start);
    }
    return starts;
  }

  @EventPattern({ ...executions, on: 'revoked' })
  forget(@Payload() partitions: TopicPartition[]): void {
    this.counting.forget(partitions);
  }
}
