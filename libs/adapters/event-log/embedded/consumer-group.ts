import type { Subscription } from '../event-log.js';
import { assign } from '../assignment.js';
import type { GroupCommit } from './group-commit.js';
import { GroupMember, type GroupOptions } from './group-member.js';
import type { Partition } from './partition.js';

/**
 * The members of one consumer group and the partitions they own. A change of members runs in this order, one change
 * at a time: losers finish their batch and may still commit, then lose ownership, then winners start where the
 * committed offsets (or their own) say. A member that died or hangs loses ownership at once and is fenced.
 */
export class ConsumerGroup {
  private members: GroupMember[] = [];
  private owners = new Map<Partition, GroupMember>();
  private readonly committed = new Map<Partition, number>();
  private rebalancing: Promise<void> = Promise.resolve();

  constructor(
    private readonly name: string,
    private readonly partitionsOf: (topic: string) => Partition[],
    private readonly groupCommit: GroupCommit,
    private readonly options: GroupOptions,
  ) {}

  async join(subscription: Subscription): Promise<GroupMember> {
    const member: GroupMember = new GroupMember(subscription, this.groupCommit, this.options, {
      group: this.name,
      partition: ({ topic, partition }) => this.partitionsOf(topic)[partition],
      owns: (partition) => this.owners.get(partition) === member,
      committed: this.committed,
      left: () => this.remove(member),
    });
    this.members.push(member);
    await this.rebalance();
    return member;
  }

  committedOffset(partition: Partition): number | undefined {
    return this.committed.get(partition);
  }

  restoreCommitted(partition: Partition, offset: number): void {
    this.committed.set(partition, offset);
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.leave()));
  }

  private async remove(member: GroupMember): Promise<void> {
    this.members = this.members.filter((other) => other !== member);
    for (const [partition, owner] of this.owners) if (owner === member) this.owners.delete(partition);
    await this.rebalance();
  }

  private rebalance(): Promise<void> {
    this.rebalancing = this.rebalancing.then(() => this.reassign());
    return this.rebalancing;
  }

  private async reassign(): Promise<void> {
    const target = this.target();
    await Promise.all(this.members.map((member) => this.revoke(member, target)));
    // A commit that was being written while its owner died must count before somebody else starts.
    await this.groupCommit.settled();
    await Promise.all(this.members.map((member) => this.grant(member, target)));
  }

  /** Topics of as many partitions with the same readers are assigned alike: nothing else goes into it. */
  private target(): Map<Partition, GroupMember> {
    const target = new Map<Partition, GroupMember>();
    for (const topic of new Set(this.members.flatMap((member) => member.subscription.topics))) {
      const readers = this.members.filter((member) => member.subscription.topics.includes(topic));
      for (const [partition, member] of assign(this.partitionsOf(topic), readers, this.owners))
        target.set(partition, member);
    }
    return target;
  }

  private async revoke(member: GroupMember, target: Map<Partition, GroupMember>): Promise<void> {
    const lost = this.ownedBy(member).filter((partition) => target.get(partition) !== member);
    if (lost.length === 0) return;
    await member.stop(lost);
    for (const partition of lost) if (this.owners.get(partition) === member) this.owners.delete(partition);
  }

  private async grant(member: GroupMember, target: Map<Partition, GroupMember>): Promise<void> {
    const gained = [...target].filter(
      ([partition, owner]) => owner === member && !this.owners.has(partition),
    );
    if (gained.length === 0 || !this.members.includes(member)) return;
    for (const [partition] of gained) this.owners.set(partition, member);
    await member.start(gained.map(([partition]) => partition));
  }

  private ownedBy(member: GroupMember): Partition[] {
    return [...this.owners].filter(([, owner]) => owner === member).map(([partition]) => partition);
  }
}
