import { setTimeout as delay } from 'node:timers/promises';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { connectTo } from '#adapters/rabbitmq';
import { BatchSize } from '../batch-size.js';
import { within } from '../deadline.js';
import type { RecordSource, RecordSourceOptions, SourceRecord } from '../record-source.js';
import { Sessions, type Session } from '../sessions.js';
import { DELIVERY_LIMIT, QUORUM, queueArgumentsAt } from './queue-arguments.js';

export interface RabbitMqSourceOptions extends RecordSourceOptions {
  /** amqp:// or amqps:// (TLS), with the password in it. */
  url: string;
  /** Several sources of a queue share its messages. */
  queue: string;
  /** Makes the queue, durable and a quorum queue, and binds it. Otherwise it must be there. */
  declare: boolean;
  /** Exchanges whose messages the queue gets; they must be there. */
  bindings: readonly { exchange: string; routingKey: string }[];
}

const CALL_MS = 5_000;
/** A lone message waits this long for company. */
const LINGER_MS = 20;
const LOOK_EVERY_MS = 5_000;

/**
 * Messages of a RabbitMQ queue (AMQP 0-9-1). The broker sends at most a batch ahead; a batch is acknowledged as a whole
 * once it is taken. What a connection held when it broke comes again. How many messages are sent ahead is said when
 * consuming begins: it begins anew when another number suits the size of the messages.
 */
export class RabbitMqSource implements RecordSource {
  private readonly sessions: Sessions;
  private readonly size = new BatchSize();
  private seenWaiting: number | undefined;

  constructor(private readonly options: RabbitMqSourceOptions) {
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
    const connection = await connectTo(this.options.url);
    const delivery = new Delivery();
    connection.on('error', delivery.fail).on('close', () => delivery.fail(new Error('connection closed')));
    try {
      if (this.options.declare) await this.declare(connection);
      const channel = await call('open a channel', connection.createChannel());
      channel.on('error', delivery.fail).on('close', () => delivery.fail(new Error('channel closed')));
      await this.prepare(channel);
      const consumer = new Consumer(channel, this.options.queue, delivery);
      await consumer.consume(this.size.records);
      session.connected();
      await this.takeAll(consumer, session);
      await consumer.cancel();
      // Answered in order: the acknowledgements before it have arrived.
      await call('close the channel', channel.close());
    } finally {
      this.seenWaiting = undefined;
      await closeQuietly(connection);
    }
  }

  private async declare(connection: ChannelModel): Promise<void> {
    const { queue } = this.options;
    try {
      await declared(connection, queue, queueArgumentsAt(connection.connection.serverProperties.version));
    } catch (error) {
      // A queue that was made before, with the broker's limit, stays as it is.
      if (!(error as Error).message.includes(DELIVERY_LIMIT)) throw error;
      await declared(connection, queue, QUORUM);
    }
  }

  private async prepare(channel: Channel): Promise<void> {
    const { queue, bindings } = this.options;
    for (const { exchange, routingKey } of bindings)
      await call(`bind queue ${queue} to ${exchange}`, channel.bindQueue(queue, exchange, routingKey));
    await this.look(channel);
  }

  private async takeAll(consumer: Consumer, session: Session): Promise<void> {
    const { queue, observer } = this.options;
    const { channel } = consumer;
    let lookAtMs = performance.now() + LOOK_EVERY_MS;
    while (!session.closing.aborted) {
      const messages = await consumer.next(session.closing);
      const last = messages.at(-1);
      if (last !== undefined) {
        this.size.saw(messages.map(({ content }) => content.length));
        if (!(await session.handOver(messages.map((message) => recordOf(queue, message))))) return;
        channel.ack(last, true);
        observer.taken(messages.length);
        await consumer.adapt(this.size.records);
      }
      if (performance.now() < lookAtMs) continue;
      await this.look(channel);
      lookAtMs = performance.now() + LOOK_EVERY_MS;
    }
  }

  private async look(channel: Channel): Promise<void> {
    const { queue } = this.options;
    const { messageCount } = await call(`look at queue ${queue}`, channel.checkQueue(queue));
    this.seenWaiting = messageCount;
  }
}

/** Who the broker sends messages to, and how many of them ahead. */
class Consumer {
  private ahead = 0;
  private tag = '';

  constructor(
    readonly channel: Channel,
    private readonly queue: string,
    private readonly delivery: Delivery,
  ) {}

  async consume(ahead: number): Promise<void> {
    await call('limit what is sent ahead', this.channel.prefetch(ahead));
    const { consumerTag } = await call('consume', this.channel.consume(this.queue, this.delivery.arrived));
    [this.ahead, this.tag] = [ahead, consumerTag];
  }

  cancel(): Promise<unknown> {
    return call('cancel', this.channel.cancel(this.tag));
  }

  /** What was sent already is taken all the same. */
  async adapt(ahead: number): Promise<void> {
    if (ahead === this.ahead) return;
    await this.cancel();
    await this.consume(ahead);
  }

  /** What has arrived, see {@link Delivery.next}. */
  next(closing: AbortSignal): Promise<ConsumeMessage[]> {
    return this.delivery.next(closing, { withinMs: LOOK_EVERY_MS, wanted: this.ahead });
  }
}

/** Messages between the connection, which pushes them, and the session, which takes one batch after the other. */
class Delivery {
  private messages: ConsumeMessage[] = [];
  private readonly broken = Promise.withResolvers<never>();
  private news = Promise.withResolvers<void>();

  constructor() {
    // Whoever waits for the next batch hears of it; when nobody does it must not end the process.
    this.broken.promise.catch(() => undefined);
  }

  readonly fail = (error: Error): void => this.broken.reject(error);

  readonly arrived = (message: ConsumeMessage | null): void => {
    if (message === null) return this.fail(new Error('the queue is gone'));
    this.messages.push(message);
    this.news.resolve();
  };

  /**
   * What has arrived: as many as are wanted, fewer when no more came for a moment, none when nothing did in time. Rejects
   * when the connection is broken.
   */
  async next(
    closing: AbortSignal,
    { withinMs, wanted }: { withinMs: number; wanted: number },
  ): Promise<ConsumeMessage[]> {
    const woken = new AbortController();
    const signal = AbortSignal.any([closing, woken.signal]);
    const late = delay(withinMs, undefined, { signal }).catch(() => undefined);
    await Promise.race([this.news.promise, late, this.broken.promise]).finally(() => woken.abort());
    if (this.messages.length < wanted)
      await Promise.race([
        delay(LINGER_MS, undefined, { signal: closing }).catch(() => undefined),
        this.broken.promise,
      ]);
    const batch = this.messages.splice(0, wanted);
    if (this.messages.length === 0) this.news = Promise.withResolvers<void>();
    return batch;
  }
}

/** On a channel of its own: a refusal closes it. */
async function declared(connection: ChannelModel, queue: string, args: object): Promise<void> {
  const channel = await call('open a channel', connection.createChannel());
  channel.on('error', () => undefined); // the call tells
  await call(`declare queue ${queue}`, channel.assertQueue(queue, { durable: true, arguments: args }));
  await call('close the channel', channel.close());
}

function recordOf(queue: string, { content, fields, properties }: ConsumeMessage): SourceRecord {
  const { exchange, routingKey } = fields;
  const { headers, messageId, timestamp } = properties;
  const about = {
    queue,
    exchange,
    routingKey,
    headers: textsOf(headers ?? {}),
    ...(messageId !== undefined && { messageId: String(messageId) }),
    // AMQP counts whole seconds.
    ...(typeof timestamp === 'number' && { timeMs: timestamp * 1000 }),
  };
  return { text: content.toString('utf8'), about, place: `rabbitmq ${queue} ${messageId ?? routingKey}` };
}

/** Values of headers that are text or can be; tables and bytes are nobody's path. */
function textsOf(headers: Record<string, unknown>): Record<string, string> {
  const texts = Object.entries(headers).filter(([, value]) =>
    ['string', 'number', 'boolean'].includes(typeof value),
  );
  return Object.fromEntries(texts.map(([name, value]) => [name, String(value)]));
}

function call<T>(what: string, answer: Promise<T>): Promise<T> {
  return within(answer, { ms: CALL_MS, what: `rabbitmq: ${what}` });
}

/** A connection that is broken already cannot be closed, and that is all the same then. */
async function closeQuietly(connection: ChannelModel): Promise<void> {
  await call('close the connection', connection.close()).catch(() => undefined);
}
