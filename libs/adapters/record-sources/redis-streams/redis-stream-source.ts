import { Redis } from 'ioredis';
import { BatchSize } from '../batch-size.js';
import type { RecordSource, RecordSourceOptions } from '../record-source.js';
import { Sessions, type Session } from '../sessions.js';
import { claimedIn, fieldsOf, recordOf, type StreamEntries } from './entries.js';

export interface RedisStreamSourceOptions extends RecordSourceOptions {
  /** redis:// or rediss:// (TLS), with the password in it. */
  url: string;
  /** Keys of the streams; one that does not exist yet is waited for. */
  streams: readonly string[];
  /** Consumer group: each entry is taken by one of its members. Made where it is missing. */
  group: string;
  /** This member; another one with the same name would share what it holds. */
  consumer: string;
  /** Where a group that is made begins. */
  from: 'new' | 'beginning';
  /** Entries that a member has held for this long are taken over: it is gone. Default a minute. */
  claimIdleMs?: number;
  /** A member that holds nothing and was silent for this long is forgotten. Default an hour. */
  forgetIdleMs?: number;
}

const CONNECT_MS = 5_000;
/** A read waits this long for entries; closing waits for it. */
const BLOCK_MS = 500;
const COMMAND_MS = BLOCK_MS + 5_000;
const CLAIM_IDLE_MS = 60_000;
const FORGET_IDLE_MS = 3_600_000;
/** How often what is held, members that are gone and the number of waiting entries are looked at. */
const LOOK_EVERY_MS = 5_000;

/**
 * Entries of Redis Streams (6.2 or newer), through a consumer group. What a member has read and not acknowledged stays
 * in its list and is read again first, by itself when it comes back or by another one that takes it over.
 */
export class RedisStreamSource implements RecordSource {
  private readonly sessions: Sessions;
  private readonly size = new BatchSize();
  /** Streams whose group has been there. */
  private readonly begun = new Set<string>();
  private seenWaiting: number | undefined;

  constructor(private readonly options: RedisStreamSourceOptions) {
    this.sessions = new Sessions(options, (session) => this.consume(session));
  }

  start(): void {
    this.sessions.start();
  }

  waiting(): number | undefined {
    return this.seenWaiting;
  }

  close(): Promise<void> {
    return this.sessions.close();
  }

  private async consume(session: Session): Promise<void> {
    const client = connectionTo(this.options.url);
    try {
      await enter(client);
      await this.makeGroups(client);
      session.connected();
      await this.read(client, session);
      await this.leave(client);
    } finally {
      this.seenWaiting = undefined;
      client.disconnect();
    }
  }

  private async makeGroups(client: Redis): Promise<void> {
    const { streams, group, from } = this.options;
    for (const stream of streams) {
      // A group that is gone went with its stream: whatever the stream has now came after.
      const start = from === 'beginning' || this.begun.has(stream) ? '0' : '$';
      await client.xgroup('CREATE', stream, group, start, 'MKSTREAM').catch((error: Error) => {
        if (!error.message.startsWith('BUSYGROUP')) throw error;
      });
      this.begun.add(stream);
    }
  }

  /** First, and now and then, what this member and those that are gone hold; then what is new. */
  private async read(client: Redis, session: Session): Promise<void> {
    let lookAtMs = 0;
    while (!session.closing.aborted) {
      if (performance.now() >= lookAtMs) {
        await this.takeHeld(client, session);
        await this.takeOver(client, session);
        await this.forgetGone(client);
        this.seenWaiting = await this.countWaiting(client);
        lookAtMs = performance.now() + LOOK_EVERY_MS;
      }
      await this.take(client, session, await this.fresh(client));
    }
  }

  /**
   * What this member holds from before, and of what it took over whatever Redis 6.2 gave no id of. Until Redis 7.1 this
   * also tells the others that it lives: there a read of new entries that finds none does not.
   */
  private async takeHeld(client: Redis, session: Session): Promise<void> {
    while (!session.closing.aborted && (await this.take(client, session, await this.held(client))));
  }

  private held(client: Redis): Promise<StreamEntries> {
    const { streams, group, consumer } = this.options;
    const ids = streams.map(() => '0');
    return client.xreadgroup(
      'GROUP',
      group,
      consumer,
      'COUNT',
      this.perStream,
      'STREAMS',
      ...streams,
      ...ids,
    ) as Promise<StreamEntries>;
  }

  private async fresh(client: Redis): Promise<StreamEntries> {
    const { streams, group, consumer } = this.options;
    const ids = streams.map(() => '>');
    const read = await client.xreadgroup(
      'GROUP',
      group,
      consumer,
      'COUNT',
      this.perStream,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      ...streams,
      ...ids,
    );
    return (read ?? []) as StreamEntries;
  }

  private get perStream(): number {
    return Math.max(1, Math.floor(this.size.records / this.options.streams.length));
  }

  private async takeOver(client: Redis, session: Session): Promise<void> {
    const { streams, group, consumer, claimIdleMs = CLAIM_IDLE_MS } = this.options;
    for (const stream of streams) {
      let cursor = '0-0';
      do {
        const claimed = await client.xautoclaim(
          stream,
          group,
          consumer,
          claimIdleMs,
          cursor,
          'COUNT',
          this.perStream,
        );
        const { next, entries } = claimedIn(claimed);
        await this.take(client, session, [[stream, entries]]);
        cursor = next;
      } while (cursor !== '0-0' && !session.closing.aborted);
    }
  }

  /** Whoever was alive after all is a member again with its next read, and what it reads in this moment it still has. */
  private async forgetGone(client: Redis): Promise<void> {
    const { streams, group, consumer, forgetIdleMs = FORGET_IDLE_MS } = this.options;
    for (const stream of streams) {
      const members = (await client.xinfo('CONSUMERS', stream, group)) as (string | number)[][];
      for (const { name, pending, idle } of members.map(fieldsOf)) {
        const isGone = name !== consumer && pending === 0 && Number(idle) >= forgetIdleMs;
        if (isGone) await client.xgroup('DELCONSUMER', stream, group, String(name));
      }
    }
  }

  /** True when there was something and it is acknowledged. */
  private async take(client: Redis, session: Session, read: StreamEntries): Promise<boolean> {
    const all = read.filter(([, entries]) => entries.length > 0);
    if (all.length === 0) return false;
    // An entry that was trimmed away while it was held has no fields any more; only its acknowledgement is left to do.
    const records = all.flatMap(([stream, entries]) =>
      entries.flatMap(([id, fields]) => (fields === null ? [] : [recordOf(stream, id, fields)])),
    );
    this.size.saw(records.map(({ text }) => Buffer.byteLength(text)));
    if (records.length > 0 && !(await session.handOver(records))) return false;
    for (const [stream, entries] of all) {
      await client.xack(stream, this.options.group, ...entries.map(([id]) => id));
    }
    if (records.length > 0) this.options.observer.taken(records.length);
    return true;
  }

  /** What the group has not read and what its members hold; Redis does not always know the first. */
  private async countWaiting(client: Redis): Promise<number | undefined> {
    let waiting: number | undefined = 0;
    for (const stream of this.options.streams) {
      const groups = (await client.xinfo('GROUPS', stream)) as (string | number | null)[][];
      const own = groups.map(fieldsOf).find(({ name }) => name === this.options.group);
      const lag = own?.['lag'];
      if (waiting === undefined || typeof lag !== 'number') waiting = undefined;
      else waiting += lag + Number(own?.['pending'] ?? 0);
    }
    return waiting;
  }

  /** A member that holds nothing is forgotten; one that holds something must stay, so that others can take it over. */
  private async leave(client: Redis): Promise<void> {
    const { streams, group, consumer } = this.options;
    for (const stream of streams) {
      const held = (await client.xpending(stream, group, '-', '+', 1, consumer)) as unknown[];
      if (held.length === 0) await client.xgroup('DELCONSUMER', stream, group, consumer);
    }
  }
}

/** A connection that never repairs itself: every failure ends the session, which knows what to do again. */
function connectionTo(url: string): Redis {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    commandTimeout: COMMAND_MS,
    enableOfflineQueue: false,
    retryStrategy: () => null,
  });
  // The command that meets an error rejects with it; this event would end the process.
  client.on('error', () => undefined);
  return client;
}

/** The library says of every connection that failed that it is closed; the event before that says why. */
async function enter(client: Redis): Promise<void> {
  let reason: string | undefined;
  // The message alone: of a refused login the error has the command, and so the password.
  client.on('error', ({ message }: Error) => (reason = message));
  await client.connect().catch((error: Error) => {
    throw new Error(`redis: must let Headroom in, got ${reason ?? error.message}`);
  });
}
