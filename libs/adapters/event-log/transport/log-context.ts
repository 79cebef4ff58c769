import { BaseRpcContext } from '@nestjs/microservices';
import type { AtomicStep, Member, RecordBatch, TopicPartition } from '../event-log.js';

/** What a handler is told about: a batch, or partitions that were assigned to it or taken from it. */
export type LogNews = RecordBatch | TopicPartition[];

/** The second argument of a handler: through it a step is committed. */
export class LogContext extends BaseRpcContext<[LogNews, Member | undefined]> {
  /** All of the step becomes durable and visible, or none; throws {@link FencedMember} when it is none. */
  async commit(step: AtomicStep): Promise<void> {
    const [, member] = this.getArgs();
    if (member === undefined)
      throw new Error('event log: nothing can be committed once partitions are revoked');
    if ((await member.commit(step)) === 'fenced') throw new FencedMember();
  }

  /** See {@link Member.progressed}. */
  progressed(): void {
    this.getArgs()[1]?.progressed();
  }
}

/** A partition belongs to another member by now: nothing was written, and this member joins again. */
export class FencedMember extends Error {
  constructor() {
    super('event log: the partition belongs to another member of the group by now; nothing was committed');
  }
}
