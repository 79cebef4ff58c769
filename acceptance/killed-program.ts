import type { ApiClient } from './api-client.js';
import type { Deployed } from './deployment.js';
import { eventually } from './headroom-process.js';
import { completed, type SentEvent } from './sent-events.js';

// The same story for three kills in the suite and for twenty in the faults: a program that is killed again and again
// while senders resend what was not acknowledged. Afterwards every event has counted, and every one once.

/** A sender's pause before it sends again, ms. */
const RETRY_MS = 50;
const BATCH_EVENTS = 40;
/** Of the acknowledged requests, this share is sent again on purpose: an acknowledgement may get lost. */
const DUPLICATE_RATIO = 0.2;

/** Mulberry32: small, seeded, good enough to choose moments. Numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Sends executions of one pool until it is told to stop, each until it is acknowledged. */
export class ResendingSender {
  /** Executions that were acknowledged at least once. */
  acknowledged = 0;
  /** Requests that failed and were sent again. */
  resent = 0;
  private stopped = false;
  private hasGivenUp = false;
  private readonly running: Promise<void>;

  constructor(private readonly given: { api: ApiClient; pool: string; name: string; random: () => number }) {
    this.running = this.run();
    this.running.catch(() => undefined); // told by stop()
  }

  /** Resolves when everything it has begun to send is acknowledged. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  /** Sends nothing more, acknowledged or not: after something else has failed. */
  giveUp(): void {
    this.stopped = true;
    this.hasGivenUp = true;
  }

  private async run(): Promise<void> {
    const { pool, name, random } = this.given;
    for (let request = 0; !this.stopped; request++) {
      // Single events and batches mixed.
      const count = random() < 0.5 ? 1 : BATCH_EVENTS;
      const events = Array.from({ length: count }, (_, i) =>
        completed({ id: `${name}-${request}-${i}`, pool, queuedAtMs: Date.now() - 25 }),
      );
      await this.untilAcknowledged(events);
      this.acknowledged += count;
      if (random() < DUPLICATE_RATIO) await this.untilAcknowledged(events);
    }
  }

  private async untilAcknowledged(events: SentEvent[]): Promise<void> {
    const body = events.length === 1 ? events[0] : events;
    await eventually(`acknowledgement of ${events[0]?.id}`, async () => {
      if (this.hasGivenUp || (await this.isAcknowledged(body))) return true;
      this.resent += 1;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      return undefined;
    });
  }

  private async isAcknowledged(body: unknown): Promise<boolean> {
    try {
      const { status } = await this.given.api.send('POST', '/v1/events', { body });
      return status === 202;
    } catch {
      return false; // killed, or not there yet
    }
  }
}

export interface Kills {
  deployed: Deployed;
  pool: string;
  senders: number;
  kills: number;
  seed: number;
  /** A kill comes at a random moment of this time, counted from "ready" or from the spawn in turns, ms. */
  withinMs: number;
}

export interface AfterKills extends Pick<Deployed, 'api' | 'demandSettled'> {
  /** Executions that the senders have an acknowledgement for. */
  acknowledged: number;
  /** Requests that failed and were sent again. */
  resent: number;
  /** What the program had shown before it was killed. */
  seen: Seen;
}

/** What has been answered once must be there ever after. */
export interface Seen {
  /** Version of the last acknowledged change of the policy, and what it set. */
  policyVersion: number;
  maxWorkers: number;
  /** By id: when it was first decided. */
  decisions: Map<string, string>;
}

/** Kills a running program with kill -9 under load, again and again, and leaves it running and acknowledged. */
export async function killAgainAndAgain({ deployed, pool, ...plan }: Kills): Promise<AfterKills> {
  const { api } = deployed;
  const random = seededRandom(plan.seed);
  const seen: Seen = { policyVersion: 1, maxWorkers: 0, decisions: new Map() };
  const senders = Array.from({ length: plan.senders }, (_, i) => {
    const name = `${plan.seed}-${i}`;
    return new ResendingSender({ api, pool, name, random: seededRandom(plan.seed + 1 + i) });
  });
  try {
    for (let kill = 0; kill < plan.kills; kill++) {
      if (kill % 2 === 0) {
        await deployed.ready();
        await lookAndChange({ api, pool, maxWorkers: 10 + kill }, seen);
      }
      await new Promise((resolve) => setTimeout(resolve, random() * plan.withinMs));
      await deployed.killOne(random());
    }
    await deployed.ready();
    await Promise.all(senders.map((sender) => sender.stop()));
  } catch (error) {
    for (const sender of senders) sender.giveUp();
    throw error;
  }
  const sum = (of: (sender: ResendingSender) => number) =>
    senders.reduce((total, sender) => total + of(sender), 0);
  const { demandSettled } = deployed;
  return { api, demandSettled, acknowledged: sum((s) => s.acknowledged), resent: sum((s) => s.resent), seen };
}

async function lookAndChange(
  { api, pool, maxWorkers }: { api: ApiClient; pool: string; maxWorkers: number },
  seen: Seen,
): Promise<void> {
  for (const { id, firstAt } of await decisionsOf(api, pool)) seen.decisions.set(id, firstAt);
  const { headers } = await api.get(`/v1/policies/${pool}`);
  const { status, body } = await api.send<{ version: number }>('PUT', `/v1/policies/${pool}`, {
    body: { mode: 'reactive', bounds: { minWorkers: 1, maxWorkers } },
    headers: { 'if-match': headers.get('etag') as string },
  });
  if (status !== 200) throw new Error(`PUT of the policy: must answer 200, got ${status}`);
  Object.assign(seen, { policyVersion: body.version, maxWorkers });
}

function decisionsOf(api: ApiClient, pool: string): Promise<{ id: string; firstAt: string }[]> {
  return api.all(`/v1/pools/${pool}/decisions`);
}

/** Waits until all that was acknowledged is read, then says what the program knows. */
export async function stateAfter(
  { api, demandSettled }: AfterKills,
  pool: string,
): Promise<{ arrivals: number; completions: number; policyVersion: number; decisions: Map<string, string> }> {
  const total = async (what: 'arrivals' | 'completions') => {
    const buckets = await api.all<Record<typeof what, number>>(`/v1/pools/${pool}/demand`);
    return buckets.reduce((sum, bucket) => sum + bucket[what], 0);
  };
  await demandSettled();
  const decisions = new Map((await decisionsOf(api, pool)).map(({ id, firstAt }) => [id, firstAt]));
  const { body } = await api.get<{ version: number }>(`/v1/policies/${pool}`);
  const [arrivals, completions] = [await total('arrivals'), await total('completions')];
  return { arrivals, completions, policyVersion: body.version, decisions };
}
