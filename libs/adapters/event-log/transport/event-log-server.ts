import {
  Server,
  type CustomTransportStrategy,
  type MessageHandler,
  type MsPattern,
} from '@nestjs/microservices';
import { isObservable, lastValueFrom } from 'rxjs';
import type {
  EventLog,
  LostRecords,
  Member,
  Position,
  RecordBatch,
  StartOffset,
  TopicPartition,
} from '../event-log.js';
import { LogContext, type LogNews } from './log-context.js';

/** A handler's pattern: `@EventPattern({ topic: 'demand.v1', group: 'forecaster' })`. */
export interface LogPattern {
  topic: string;
  group: string;
  /** Handlers of the group commit through their context; the same in all of its patterns. */
  commits?: true;
  /** See {@link Subscription.newFromMs}: so long ago, seconds. The same in all patterns of the group. */
  newFromAgeS?: number;
  /** Left out: batches. Otherwise the handler learns which partitions it has got or lost. */
  on?: 'assigned' | 'revoked';
}

/** What became of a group's member: counted, and what readiness is made of. */
export interface LogServerObserver {
  groupFailed(failure: { group: string; error: Error; retryInMs: number }): void;
  batchHandled(batch: { group: string; topic: string; records: number; durationMs: number }): void;
  /** The group will never read them: it stood still for longer than the topic's retention. */
  recordsLost(lost: LostRecords & { group: string }): void;
}

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 10_000;

type Handlers = Map<string, MessageHandler>;
/** What all patterns of a group must say alike. */
type Terms = Pick<LogPattern, 'commits' | 'newFromAgeS'>;
type Group = { topics: Set<string>; terms: Terms };
type Phase = 'batch' | 'assigned' | 'revoked';

/**
 * NestJS transport over the event log: hands whole batches of one partition to `@EventPattern` handlers, which commit
 * outputs and offsets through their {@link LogContext}. Handlers with the same group share one member. A handler that
 * throws ends its member: its partitions are revoked, the group is joined again after a back-off, and state is rebuilt on
 * assignment.
 */
export class EventLogServer extends Server implements CustomTransportStrategy {
  override transportId = Symbol('event-log');
  // A failed handler ends the member and is reported to the observer: Nest need not report it again.
  override readonly propagatesEventHandlerErrors = true;
  private readonly members = new Map<string, Member>();
  /** What the handlers of each group have been given, by topic and number. */
  private readonly held = new Map<string, Map<string, TopicPartition>>();
  private readonly retries = new Map<string, NodeJS.Timeout>();
  private readonly terms = new Map<string, Terms>();
  private closing = false;

  constructor(
    private readonly log: EventLog,
    private readonly observer: LogServerObserver,
  ) {
    super();
  }

  listen(callback: (error?: unknown) => void): void {
    const joined = [...this.groups().keys()].map((group) => this.join(group, FIRST_RETRY_MS));
    Promise.all(joined).then(() => callback(), callback);
  }

  async close(): Promise<void> {
    this.closing = true;
    for (const timer of this.retries.values()) clearTimeout(timer);
    await Promise.all([...this.members.values()].map((member) => member.leave()));
  }

  /** Groups that have no member at the moment: they failed and wait to join again. */
  failing(): string[] {
    return [...this.groups().keys()].filter((group) => !this.members.has(group));
  }

  /** Where each group stands in the partitions that this process reads for it. */
  positions(): (Position & { group: string })[] {
    return [...this.members].flatMap(([group, member]) =>
      member.positions().map((position) => ({ group, ...position })),
    );
  }

  on(): never {
    throw new Error('event log transport: no events of its own (LogServerObserver reports failures)');
  }

  unwrap<T>(): T {
    return this.log as T;
  }

  private groups(): Map<string, Group> {
    const groups = new Map<string, Group>();
    for (const route of this.messageHandlers.keys()) {
      const { group, topic, on: _, ...terms } = JSON.parse(route) as LogPattern;
      const known = groups.get(group) ?? { topics: new Set<string>(), terms };
      for (const term of ['commits', 'newFromAgeS'] as const)
        if (known.terms[term] !== terms[term])
          throw new Error(`event log, group ${group}: all of its patterns must say the same \`${term}\``);
      known.topics.add(topic);
      groups.set(group, known);
    }
    return groups;
  }

  private async join(group: string, retryInMs: number): Promise<void> {
    let failed = false;
    const onFailed = (error: Error): void => {
      failed = true;
      this.members.delete(group);
      void this.lose(group, error);
      if (this.closing) return;
      this.observer.groupFailed({ group, error, retryInMs });
      const again = () => void this.join(group, Math.min(2 * retryInMs, MAX_RETRY_MS));
      this.retries.set(group, setTimeout(again, retryInMs));
    };
    const { topics, terms } = this.groups().get(group) as Group;
    const { commits = false, newFromAgeS } = terms;
    this.terms.set(group, terms);
    try {
      const member = await this.log.subscribe({
        group,
        topics: [...topics],
        commits,
        ...(newFromAgeS !== undefined && { newFromMs: Date.now() - newFromAgeS * 1000 }),
        onAssigned: (partitions, by) => this.assigned(group, partitions, by),
        onRevoked: (partitions) => this.revoked(group, partitions),
        onBatch: async (batch, by) => {
          await this.handle(group, batch, by);
          retryInMs = FIRST_RETRY_MS;
        },
        onLost: (lost) => this.observer.recordsLost({ group, ...lost }),
        onFailed,
      });
      if (this.closing) await member.leave();
      else if (!failed) this.members.set(group, member);
    } catch (error) {
      onFailed(error as Error);
    }
  }

  private async handle(group: string, batch: RecordBatch, member: Member): Promise<void> {
    const startedMs = performance.now();
    await this.call('batch', { group, topic: batch.topic }, batch, member);
    const durationMs = performance.now() - startedMs;
    this.observer.batchHandled({ group, topic: batch.topic, records: batch.records.length, durationMs });
  }

  private async assigned(
    group: string,
    partitions: TopicPartition[],
    member: Member,
  ): Promise<StartOffset[]> {
    const starts: StartOffset[] = [];
    const held = this.held.get(group) ?? new Map<string, TopicPartition>();
    this.held.set(group, held);
    for (const at of partitions) held.set(keyOf(at), at);
    for (const [topic, own] of byTopic(partitions)) {
      starts.push(...(((await this.call('assigned', { group, topic }, own, member)) as StartOffset[]) ?? []));
    }
    return starts;
  }

  private async revoked(group: string, partitions: TopicPartition[]): Promise<void> {
    for (const at of partitions) this.held.get(group)?.delete(keyOf(at));
    // All at once: one that takes its time must not keep the others believing that they own what they have lost.
    const told = [...byTopic(partitions)].map(([topic, own]) =>
      this.call('revoked', { group, topic }, own, undefined),
    );
    await Promise.all(told);
  }

  /** A member that failed has lost its partitions already: whoever holds their state must not go on with it. */
  private async lose(group: string, because: Error): Promise<void> {
    const lost = [...(this.held.get(group)?.values() ?? [])];
    try {
      await this.revoked(group, lost);
    } catch (error) {
      const told = new Error(`${(error as Error).message}, after: ${because.message}`, { cause: error });
      this.observer.groupFailed({ group, error: told, retryInMs: FIRST_RETRY_MS });
    }
  }

  private async call(
    phase: Phase,
    at: { group: string; topic: string },
    news: LogNews,
    member: Member | undefined,
  ): Promise<unknown> {
    const pattern: LogPattern = {
      ...at,
      ...this.terms.get(at.group),
      ...(phase !== 'batch' && { on: phase }),
    };
    const handler = (this.messageHandlers as Handlers).get(
      this.normalizePattern(pattern as unknown as MsPattern),
    );
    if (handler === undefined) return undefined;
    const result: unknown = await handler(news, new LogContext([news, member]));
    return isObservable(result) ? lastValueFrom(result, { defaultValue: undefined }) : result;
  }
}

const keyOf = ({ topic, partition }: TopicPartition) => `${topic}[${partition}]`;

function byTopic(partitions: TopicPartition[]): Map<string, TopicPartition[]> {
  return Map.groupBy(partitions, ({ topic }) => topic);
}
