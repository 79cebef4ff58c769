import { randomUUID } from 'node:crypto';
import type { Fleet, FleetObservation, Membership } from '../fleet.js';
import type { MembershipChanges } from './fleet-messages.js';

/** Processes that follow one host; each has a request waiting. */
export const MAX_FOLLOWERS = 1_000;
/** A follower that has its answer and does not ask again within this time is gone. */
const SILENT_AFTER_MS = 5_000;

export interface FollowerQuestion {
  follower: string;
  host?: string | undefined;
  after: number;
  waitS: number;
}

interface Follower {
  /** The version it acts on. */
  acknowledged: number;
  /** Its latest question, so that an earlier one that breaks off takes nothing with it. */
  question: FollowerQuestion;
  silence: NodeJS.Timeout | undefined;
}

interface Waiting {
  version: number;
  resolve: () => void;
}

/**
 * The side of a fleet's host: numbers the changes of membership, gives each follower what it lacks, and knows who acts
 * on what.
 *
 *   change n ──▶ answer n to who waits ──▶ question "after n" of everybody ──▶ workers that leave are told so
 */
export class ServedFleet {
  /** One for each start. */
  private readonly host = randomUUID();
  private version = 0;
  private readonly pools = new Map<string, { membership: Membership; version: number }>();
  private readonly followers = new Map<string, Follower>();
  private readonly untilNews = new Set<() => void>();
  private untilAcknowledged: Waiting[] = [];
  private closed = false;
  private readonly unwatch: () => void;

  constructor(private readonly fleet: Pick<Fleet, 'observe' | 'scale' | 'watch'>) {
    this.unwatch = fleet.watch((membership) => this.changed(membership));
  }

  /** Rejects as {@link Fleet.scale} does. */
  scale(order: { pool: string; desired: number }): Promise<void> {
    return this.fleet.scale(order);
  }

  /** All pools at once. */
  observe(): Promise<(FleetObservation & { pool: string })[]> {
    const pools = [...this.pools.keys()];
    return Promise.all(pools.map(async (pool) => ({ pool, ...(await this.fleet.observe(pool)) })));
  }

  /**
   * What has changed since the follower's last answer, as soon as something has. `closed`: nobody is served any more;
   * `full`: {@link MAX_FOLLOWERS} are. The signal says that the follower has broken off.
   */
  async changes(
    question: FollowerQuestion,
    signal: AbortSignal,
  ): Promise<MembershipChanges | 'closed' | 'full'> {
    if (this.closed) return 'closed';
    if (!this.followers.has(question.follower) && this.followers.size >= MAX_FOLLOWERS) return 'full';
    const since = question.host === this.host && question.after <= this.version ? question.after : undefined;
    this.heard(question, since ?? -1);
    if (since === this.version) await this.news(question.waitS, signal);
    this.answered(question, signal.aborted);
    return this.closed ? 'closed' : this.changesSince(since);
  }

  /** Answers whoever waits; nobody is told of a change any more. */
  close(): void {
    this.closed = true;
    this.unwatch();
    for (const wake of this.untilNews) wake();
    for (const follower of this.followers.keys()) this.forget(follower);
  }

  /** Undefined when everybody acts on it already: nobody follows. */
  private changed(membership: Membership): Promise<void> | undefined {
    this.version += 1;
    const { version } = this;
    this.pools.set(membership.pool, { membership, version });
    if (this.followers.size === 0) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.untilAcknowledged.push({ version, resolve });
    for (const wake of this.untilNews) wake();
    return promise;
  }

  private changesSince(version: number | undefined): MembershipChanges {
    const items = [...this.pools.values()]
      .filter((pool) => version === undefined || pool.version > version)
      .map(({ membership }) => membership);
    return { host: this.host, version: this.version, complete: version === undefined, items };
  }

  private heard(question: FollowerQuestion, acknowledged: number): void {
    clearTimeout(this.followers.get(question.follower)?.silence);
    this.followers.set(question.follower, { acknowledged, question, silence: undefined });
    this.settle();
  }

  private answered(question: FollowerQuestion, brokeOff: boolean): void {
    const follower = this.followers.get(question.follower);
    if (follower?.question !== question) return;
    if (brokeOff) return this.forget(question.follower);
    follower.silence = setTimeout(() => this.forget(question.follower), SILENT_AFTER_MS).unref();
  }

  private forget(follower: string): void {
    clearTimeout(this.followers.get(follower)?.silence);
    this.followers.delete(follower);
    this.settle();
  }

  /** Ends the waiting for what everybody acts on. */
  private settle(): void {
    const known = Math.min(...[...this.followers.values()].map(({ acknowledged }) => acknowledged));
    const settled = this.untilAcknowledged.filter(({ version }) => version <= known);
    this.untilAcknowledged = this.untilAcknowledged.filter(({ version }) => version > known);
    for (const { resolve } of settled) resolve();
  }

  private news(waitS: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, waitS * 1000);
    this.untilNews.add(resolve);
    signal.addEventListener('abort', resolve as () => void);
    return promise.finally(() => {
      clearTimeout(timer);
      this.untilNews.delete(resolve);
      signal.removeEventListener('abort', resolve as () => void);
    });
  }
}
