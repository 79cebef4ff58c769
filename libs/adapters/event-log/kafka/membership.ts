import { setTimeout as delay } from 'node:timers/promises';
import { inTime } from '../in-time.js';
import {
  assignBundles,
  decodeAssignment,
  decodeClaim,
  encodeAssignment,
  encodeClaim,
  protocolName,
  type Share,
} from './bundle-assignor.js';
import type { KafkaCluster, ProtocolBroker } from './cluster.js';
import { explained, isPassing, kafkaTypeOf, NoAnswer } from './kafka-errors.js';

/** Beats of a session: two may be lost. */
const BEATS_PER_SESSION = 3;
/** A change of members is noticed within one beat. */
const MAX_BEAT_MS = 1_000;
const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 500;
/** A member that goes does not wait longer to say so: its session ends anyway. */
const LEAVE_WITHIN_MS = 3_000;
/** Beyond what the others are waited for. */
const JOIN_MARGIN_MS = 5_000;
const NO_GENERATION = -1;

/** The group has forgotten this member: others may have had its partitions since. */
const FORGOTTEN = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID']);

export interface MembershipOptions {
  group: string;
  topics: string[];
  /** Partitions of a topic that are dealt out. */
  partitionsOf: (topic: string) => number;
  bundles: number;
  /** Silence after which the group forgets a member. */
  sessionTimeoutMs: number;
  /** How long the others wait for a member that has not joined again yet. */
  rebalanceTimeoutMs: number;
  /** The group's members change, or it has forgotten this one: {@link Membership.join} again. */
  onChange: () => void;
}

export interface Joined extends Share {
  /** Nobody else was given a partition that this member had before and has now. */
  follows: boolean;
}

/** This process in a consumer group, as the broker that coordinates the group sees it. */
export class Membership {
  private memberId = '';
  private generation = NO_GENERATION;
  private coordinator: ProtocolBroker | undefined;
  private beating: NodeJS.Timeout | undefined;
  private heardMs = 0;
  private hasLeft = false;

  constructor(
    private readonly cluster: KafkaCluster,
    private readonly options: MembershipOptions,
  ) {}

  /**
   * Waits until every member has joined, at most `rebalanceTimeoutMs`, and returns what this one reads from now on.
   * Tries again for as long as the reason is a passing one, and two sessions at most.
   */
  async join(bundles: number[]): Promise<Joined> {
    this.stopBeating();
    const { sessionTimeoutMs, rebalanceTimeoutMs } = this.options;
    const deadlineMs = performance.now() + rebalanceTimeoutMs + 2 * sessionTimeoutMs;
    const { memberId, generation } = this;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      try {
        const share = await this.joinAndSync({ generation, bundles });
        this.beat();
        // Whom the group has forgotten gets another id. Whoever it has not has claimed what it holds in every round.
        return { ...share, follows: memberId === this.memberId };
      } catch (error) {
        this.mayTryAgain(error);
        if (performance.now() > deadlineMs) throw explained(error, `joining group ${this.options.group}`);
      }
      await delay(pauseMs);
    }
  }

  /** Says goodbye, so that the others need not wait for the end of the session. Ends a join that is on its way. */
  async leave(): Promise<void> {
    this.hasLeft = true;
    this.stopBeating();
    const { memberId, coordinator } = this;
    this.memberId = '';
    if (memberId === '' || coordinator === undefined) return;
    const left = coordinator.leaveGroup({ groupId: this.options.group, memberId });
    await inTime(left, LEAVE_WITHIN_MS, () => new Error('no answer')).catch(() => undefined);
  }

  private async joinAndSync(claim: { generation: number; bundles: number[] }): Promise<Share> {
    await this.mustStay();
    const { group: groupId, topics, bundles, sessionTimeoutMs, rebalanceTimeoutMs } = this.options;
    this.coordinator ??= await this.cluster.coordinator(groupId);
    const joined = await this.answered(
      this.coordinator.joinGroup({
        groupId,
        sessionTimeout: sessionTimeoutMs,
        rebalanceTimeout: rebalanceTimeoutMs,
        memberId: this.memberId,
        groupProtocols: [{ name: protocolName(bundles), metadata: encodeClaim({ topics, claim }) }],
      }),
    );
    this.memberId = joined.memberId;
    const groupAssignment = joined.leaderId === joined.memberId ? await this.lead(joined.members) : [];
    const synced = await this.answered(
      this.coordinator.syncGroup({
        groupId,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupAssignment,
      }),
    );
    this.generation = joined.generationId;
    await this.mustStay();
    return decodeAssignment(synced.memberAssignment);
  }

  /** Connections that are being closed answer nothing, and refuse nothing. */
  private answered<T>(work: Promise<T>): Promise<T> {
    const withinMs = this.options.rebalanceTimeoutMs + JOIN_MARGIN_MS;
    return inTime(work, withinMs, () => new NoAnswer(withinMs));
  }

  private async lead(members: { memberId: string; memberMetadata: Buffer }[]) {
    await this.cluster.refresh();
    const { assignment, isSettled } = assignBundles({
      members: members.map(({ memberId, memberMetadata }) => ({ memberId, ...decodeClaim(memberMetadata) })),
      bundles: this.options.bundles,
      partitionsOf: this.options.partitionsOf,
    });
    return [...assignment].map(([memberId, partitions]) => ({
      memberId,
      memberAssignment: encodeAssignment({ partitions, isSettled }),
    }));
  }

  /** Who left while it joined may be a member by now, which would own partitions and read none. */
  private async mustStay(): Promise<void> {
    if (!this.hasLeft) return;
    await this.leave();
    throw new Error(
      `a member of group ${this.options.group} must stay while it joins, got a member that left`,
    );
  }

  /** Throws what trying again cannot mend. */
  private mayTryAgain(error: unknown): void {
    const type = kafkaTypeOf(error) ?? '';
    if (FORGOTTEN.has(type)) this.memberId = '';
    else if (type === 'INCONSISTENT_GROUP_PROTOCOL')
      throw new Error(
        `event log on Kafka, joining group ${this.options.group}: all members must have the same eventLog.bundles, got ${this.options.bundles} and another (hint: stop all of them to change it)`,
        { cause: error },
      );
    else if (type !== 'REBALANCE_IN_PROGRESS') {
      if (!isPassing(error)) throw explained(error, `joining group ${this.options.group}`);
      this.coordinator = undefined;
    }
  }

  private beat(): void {
    this.heardMs = performance.now();
    this.scheduleBeat();
  }

  private scheduleBeat(): void {
    const everyMs = Math.min(this.options.sessionTimeoutMs / BEATS_PER_SESSION, MAX_BEAT_MS);
    this.beating = setTimeout(() => void this.sayAlive(), everyMs);
  }

  private stopBeating(): void {
    clearTimeout(this.beating);
    this.beating = undefined;
  }

  private async sayAlive(): Promise<void> {
    const timer = this.beating;
    const { group: groupId } = this.options;
    const { memberId, generation: groupGenerationId } = this;
    try {
      const beat = async () => {
        this.coordinator ??= await this.cluster.coordinator(groupId);
        await this.coordinator.heartbeat({ groupId, groupGenerationId, memberId });
      };
      const withinMs = this.options.sessionTimeoutMs;
      await inTime(beat(), withinMs, () => new NoAnswer(withinMs));
      this.heardMs = performance.now();
    } catch (error) {
      if (this.beating === timer) this.alarm(error);
    }
    // Also while the members change, so that a long last batch does not look like a dead member.
    if (this.beating === timer) this.scheduleBeat();
  }

  private alarm(error: unknown): void {
    const type = kafkaTypeOf(error) ?? '';
    const isSilent = performance.now() - this.heardMs > this.options.sessionTimeoutMs;
    if (FORGOTTEN.has(type)) this.memberId = '';
    else if (type !== 'REBALANCE_IN_PROGRESS') {
      this.coordinator = undefined;
      if (isPassing(error) && !isSilent) return;
    }
    this.options.onChange();
  }
}
