import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { Agent, request, type Dispatcher } from 'undici';
import { z } from 'zod';
import {
  checkOrder,
  FleetClosed,
  TOLD_WITHIN_MS,
  UnknownPool,
  type Fleet,
  type FleetObservation,
  type Membership,
  type MembershipListener,
} from '../fleet.js';
import { MAX_WAIT_S, membershipChanges, observedPools, type MembershipChanges } from './fleet-messages.js';

/** An order or an observation that has no answer by then has failed, ms. */
const DEADLINE_MS = 1_500;
/** Beyond the time that the host may wait for news, ms. */
const NEWS_GRACE_MS = 5_000;
/** The pause before a host that does not answer is asked again doubles between these, ms. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 2_000;
const CONNECT_TIMEOUT_MS = 1_000;
/** Requests at once: further ones wait, within their deadline. */
const CONNECTIONS = 8;
/** Some 50,000 members. */
const MAX_ANSWER_BYTES = 8 * 1_048_576;

export type FleetOperation = 'scale' | 'observe' | 'follow';

/** Learns what becomes of the requests to the host. */
export interface RemoteFleetObserver {
  asked(request: { operation: FleetOperation; error: Error | undefined }): void;
  /** The first host that answers, or one that has started anew. */
  hostFound(host: { first: boolean }): void;
}

export interface RemoteFleetOptions {
  /** Origin of the host's API. */
  url: string;
  /** Asked for every request. */
  token: () => Promise<string>;
  observer: RemoteFleetObserver;
  deadlineMs?: number;
  waitS?: number;
}

/**
 * The fleet of another process. Orders and observations fail within a deadline when the host is away; watchers keep the
 * members they know, and learn of the host's restart by who is there then.
 */
export class RemoteFleet implements Fleet {
  private readonly follower = randomUUID();
  private readonly dispatcher: Dispatcher;
  private readonly listeners = new Set<MembershipListener>();
  private readonly memberships = new Map<string, Membership>();
  private readonly closing = new AbortController();
  private host: string | undefined;
  private version = 0;
  private following: Promise<void> | undefined;
  private observing: ReturnType<RemoteFleet['observeAll']> | undefined;

  constructor(private readonly options: RemoteFleetOptions) {
    this.dispatcher = new Agent({
      connections: CONNECTIONS,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      maxResponseSize: MAX_ANSWER_BYTES,
      // Each request has a deadline of its own.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Rejects for an order that makes no sense, when the host refuses it, or does not take it in time. */
  async scale({ pool, desired }: { pool: string; desired: number }): Promise<void> {
    checkOrder({ pool, desired });
    if (this.closing.signal.aborted) throw new FleetClosed(pool);
    const path = `/v1/fleet/pools/${encodeURIComponent(pool)}`;
    await this.ask('scale', { method: 'PUT', path, body: { desired }, answer: z.undefined() });
  }

  /** Rejects when the host does not answer in time, or has no such pool. */
  async observe(pool: string): Promise<FleetObservation> {
    this.observing ??= this.observeAll();
    const items = await this.observing;
    const found = items.find((item) => item.pool === pool);
    if (found === undefined)
      throw new UnknownPool(
        pool,
        items.map((item) => item.pool),
      );
    const { pool: _, ...observation } = found;
    return observation;
  }

  watch(listener: MembershipListener): () => void {
    this.listeners.add(listener);
    for (const membership of this.memberships.values()) void listener(membership);
    this.following ??= this.follow();
    return () => void this.listeners.delete(listener);
  }

  /** Lets go of the host; the workers stay. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.following;
    await this.dispatcher.destroy();
  }

  /** One request for all who ask in the same turn. */
  private async observeAll(): Promise<z.output<typeof observedPools>['items']> {
    await nextTurn();
    this.observing = undefined;
    const asked = { method: 'GET', path: '/v1/fleet/pools', answer: observedPools } as const;
    return (await this.ask('observe', asked)).items;
  }

  private async follow(): Promise<void> {
    const { signal } = this.closing;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        await this.take(await this.changes());
        retryMs = FIRST_RETRY_MS;
      } catch {
        // Reported where it was asked.
        await delay(retryMs, undefined, { signal }).catch(() => undefined);
        retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
      }
    }
  }

  private changes(): Promise<MembershipChanges> {
    const { waitS = MAX_WAIT_S } = this.options;
    const query = new URLSearchParams({ follower: this.follower, waitS: String(waitS) });
    if (this.host !== undefined) query.set('host', this.host);
    query.set('after', String(this.version));
    const path = `/v1/fleet/memberships?${query.toString()}`;
    const deadlineMs = waitS * 1000 + NEWS_GRACE_MS;
    return this.ask('follow', { method: 'GET', path, deadlineMs, answer: membershipChanges });
  }

  /** The next question acknowledges what the listeners have been told. */
  private async take({ host, version, complete, items }: MembershipChanges): Promise<void> {
    if (host !== this.host) this.options.observer.hostFound({ first: this.host === undefined });
    const named = new Set(items.map(({ pool }) => pool));
    const gone = complete ? [...this.memberships.keys()].filter((pool) => !named.has(pool)) : [];
    const changed = [...items, ...gone.map((pool) => ({ pool, members: [] }))];
    for (const membership of changed) this.memberships.set(membership.pool, membership);
    for (const pool of gone) this.memberships.delete(pool);
    const told = changed.flatMap((membership) => [...this.listeners].map((listener) => listener(membership)));
    const patience = delay(TOLD_WITHIN_MS, undefined, { signal: this.closing.signal }).catch(() => undefined);
    if (told.some((promise) => promise !== undefined)) await Promise.race([Promise.all(told), patience]);
    [this.host, this.version] = [host, version];
  }

  private async ask<T>(operation: FleetOperation, asked: Asked<T>): Promise<T> {
    const { observer } = this.options;
    try {
      const answer = await this.send(asked);
      observer.asked({ operation, error: undefined });
      return answer;
    } catch (error) {
      if (!this.closing.signal.aborted) observer.asked({ operation, error: error as Error });
      throw error;
    }
  }

  private async send<T>({ method, path, body, answer: schema, ...asked }: Asked<T>): Promise<T> {
    const { url, token } = this.options;
    const deadlineMs = asked.deadlineMs ?? this.options.deadlineMs ?? DEADLINE_MS;
    const deadline = AbortSignal.timeout(deadlineMs);
    try {
      const answer = await request(new URL(path, url), {
        dispatcher: this.dispatcher,
        method,
        signal: AbortSignal.any([deadline, this.closing.signal]),
        headers: { authorization: `Bearer ${await token()}`, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await answer.body.text();
      if (answer.statusCode >= 300) throw new Error(detailOf(text) ?? `status ${answer.statusCode}`);
      return schema.parse(text === '' ? undefined : JSON.parse(text));
    } catch (error) {
      const reason = deadline.aborted ? `nothing within ${deadlineMs} ms` : reasonOf(error as Error);
      const what = `fleet at ${url}: must answer ${method} ${path.split('?')[0]}, got ${reason}`;
      throw new Error(what, { cause: error });
    }
  }
}

interface Asked<T> {
  method: 'GET' | 'PUT';
  path: string;
  body?: object;
  answer: z.ZodType<T>;
  /** Default: that of the options. */
  deadlineMs?: number;
}

/** What the host's problem says. */
function detailOf(text: string): string | undefined {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === 'string' ? detail : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  return error.message === '' ? (error.code ?? error.name) : error.message;
}
