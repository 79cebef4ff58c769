import kafkajs, { type Message, type Producer } from 'kafkajs';
import { eventually } from '../headroom-process.js';
import { seededRandom } from '../killed-program.js';
import { completed, queued } from '../sent-events.js';

const { Kafka, logLevel } = kafkajs;

const TICK_MS = 100;
/** A broker that was killed is back by then. */
const ACKNOWLEDGED_WITHIN_MS = 120_000;
/** Of a batch, sent again on purpose although it is acknowledged: an acknowledgement may get lost. */
const REPEATED_RATIO = 0.05;
/** Executions whose beginning is told by an event of its own, a tick before the one that tells their end. */
const TOLD_TWICE_RATIO = 0.3;

/** A platform that writes its executions straight into Kafka, each event until it is acknowledged. */
export class Executions {
  /** By pool: those of whom every event was acknowledged. */
  readonly acknowledged = new Map<string, number>();
  /** Batches that had to be sent again, and those sent twice on purpose. */
  readonly again = { resent: 0, repeated: 0 };
  private readonly random: () => number;
  private producer: Promise<Producer> | undefined;
  private begun = 0;

  constructor(
    private readonly given: {
      /** host:port */
      broker: string;
      topic: string;
      pools: readonly string[];
      seed: number;
    },
  ) {
    this.random = seededRandom(given.seed);
  }

  get total(): number {
    return [...this.acknowledged.values()].reduce((sum, count) => sum + count, 0);
  }

  /**
   * So many executions, spread over at least this time; resolves when all are acknowledged. The first pool gets its
   * share of them, a number in [0, 1]; the others are alike.
   */
  async send({ count, overMs, share }: { count: number; overMs: number; share: number }): Promise<void> {
    const startMs = performance.now();
    const ticks = Math.ceil(overMs / TICK_MS);
    let open: Execution[] = [];
    for (let tick = 0; tick < ticks; tick++) {
      await until(startMs + tick * TICK_MS);
      const size = Math.floor((count * (tick + 1)) / ticks) - Math.floor((count * tick) / ticks);
      const fresh = Array.from({ length: size }, () => this.begin(share));
      const split = fresh.filter(({ toldTwice }) => toldTwice);
      await this.deliver([
        ...fresh.map((each) => (each.toldTwice ? queued(each) : completed(each))),
        ...open.map(completed),
      ]);
      this.count([...fresh.filter(({ toldTwice }) => !toldTwice), ...open]);
      open = split;
    }
    await this.deliver(open.map(completed));
    this.count(open);
  }

  async close(): Promise<void> {
    const { producer } = this;
    this.producer = undefined;
    await producer?.then((each) => each.disconnect()).catch(() => undefined);
  }

  private begin(share: number): Execution {
    const { pools, seed } = this.given;
    const others = pools.length - 1;
    const drawn = this.random();
    const nth = drawn < share ? 0 : 1 + Math.floor(((drawn - share) / (1 - share)) * others);
    this.begun += 1;
    return {
      id: `${seed}-${this.begun}`,
      pool: pools[Math.min(nth, others)] as string,
      queuedAtMs: Date.now() - 25,
      toldTwice: this.random() < TOLD_TWICE_RATIO,
    };
  }

  private count(done: Execution[]): void {
    for (const { pool } of done) this.acknowledged.set(pool, (this.acknowledged.get(pool) ?? 0) + 1);
  }

  private async deliver(events: ReturnType<typeof completed>[]): Promise<void> {
    const messages = events.map((event) => ({ key: event.subject, value: JSON.stringify(event) }));
    await this.untilAcknowledged(messages);
    if (this.random() >= REPEATED_RATIO) return;
    this.again.repeated += 1;
    await this.untilAcknowledged(messages);
  }

  private async untilAcknowledged(messages: Message[]): Promise<void> {
    if (messages.length === 0) return;
    const ask = async () => {
      try {
        this.producer ??= this.connect();
        await (await this.producer).send({ topic: this.given.topic, messages });
        return true;
      } catch {
        // Its count of what was written may be wrong by now; the ids of the events stay the same.
        this.again.resent += 1;
        await this.close();
        return undefined;
      }
    };
    await eventually('the acknowledgement of a batch', ask, ACKNOWLEDGED_WITHIN_MS);
  }

  private async connect(): Promise<Producer> {
    const client = new Kafka({
      brokers: [this.given.broker],
      retry: { initialRetryTime: 50, multiplier: 1.5, maxRetryTime: 500, retries: 8 },
      logLevel: logLevel.NOTHING,
    });
    const producer = client.producer({ idempotent: true, allowAutoTopicCreation: false });
    await producer.connect();
    return producer;
  }
}

interface Execution {
  id: string;
  pool: string;
  queuedAtMs: number;
  toldTwice: boolean;
}

async function until(timeMs: number): Promise<void> {
  const restMs = timeMs - performance.now();
  if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
}
