import type { ChannelModel } from 'amqplib';
import { connectTo } from '#adapters/rabbitmq';
import type { DemandSample } from '#domain/demand';
import type { DemandSampler, SampleSpan } from './demand-sampler.js';

const ANSWER_MS = 5_000;
/** The questions of a round come one soon after the other; between rounds nothing must be kept alive. */
const KEEP_MS = 2_000;

/** The messages of a work queue that wait for its consumers: the backlog of a pool. Only the present can be asked. */
export class RabbitMqDepthSampler implements DemandSampler {
  constructor(
    private readonly depths: RabbitMqDepths,
    private readonly queue: string,
  ) {}

  async sample({ toMs, bucketS }: SampleSpan): Promise<DemandSample[]> {
    return [{ startMs: toMs - bucketS * 1000, backlog: await this.depths.of(this.queue) }];
  }
}

/** How much waits in the queues of one broker: asked over one connection, which is left soon after the last question. */
export class RabbitMqDepths {
  private connection: Promise<ChannelModel> | undefined;
  private unanswered = 0;
  private idle: NodeJS.Timeout | undefined;

  /** At `url`: amqp:// or amqps:// (TLS), with the password in it. */
  constructor(private readonly url: string) {}

  /** Rejects when the broker cannot say, or not in time. */
  async of(queue: string): Promise<number> {
    clearTimeout(this.idle);
    this.unanswered++;
    const connection = (this.connection ??= this.open());
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.leave(connection);
      late.reject(new Error(`rabbitmq: queue ${queue}: must be told within ${ANSWER_MS} ms`));
    }, ANSWER_MS);
    try {
      return await Promise.race([depth(connection, queue), late.promise]);
    } finally {
      clearTimeout(timer);
      if (--this.unanswered === 0) this.idle = setTimeout(() => this.leave(this.connection), KEEP_MS);
    }
  }

  private open(): Promise<ChannelModel> {
    const connection = connectTo(this.url);
    connection.then(
      // What goes wrong is told by the call that meets it; the event would end the process.
      (open) => open.on('error', () => undefined).on('close', () => this.leave(connection)),
      () => this.leave(connection),
    );
    return connection;
  }

  /** The next question opens another one. One that is broken cannot be closed any more, and that is all the same then. */
  private leave(connection: Promise<ChannelModel> | undefined): void {
    if (this.connection === connection) this.connection = undefined;
    connection?.then((open) => open.close()).catch(() => undefined);
  }
}

/** On a channel of its own: a queue that is not there closes it. */
async function depth(connection: Promise<ChannelModel>, queue: string): Promise<number> {
  const channel = await (await connection).createChannel();
  channel.on('error', () => undefined);
  const { messageCount } = await channel.checkQueue(queue);
  await channel.close();
  return messageCount;
}
