import { connect, type ChannelModel } from 'amqplib';
import type { DemandSample } from '#domain/demand';
import type { DemandSampler, SampleSpan } from './demand-sampler.js';

const ANSWER_MS = 5_000;

/** The messages of a work queue that wait for its consumers: the backlog of a pool. Only the present can be asked. */
export class RabbitMqDepthSampler implements DemandSampler {
  constructor(
    private readonly given: {
      /** amqp:// or amqps:// (TLS), with the password in it. */
      url: string;
      queue: string;
    },
  ) {}

  async sample({ toMs, bucketS }: SampleSpan): Promise<DemandSample[]> {
    const { queue } = this.given;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`rabbitmq: queue ${queue}: must be told within ${ANSWER_MS} ms`)),
      ANSWER_MS,
    );
    try {
      const backlog = await Promise.race([this.depth(), late.promise]);
      return [{ startMs: toMs - bucketS * 1000, backlog }];
    } finally {
      clearTimeout(timer);
    }
  }

  /** A connection for each question: they are seconds apart, and nothing must be kept alive in between. */
  private async depth(): Promise<number> {
    const connection = await connect(this.given.url, { timeout: ANSWER_MS });
    // What goes wrong is told by the call that meets it; these events would end the process.
    connection.on('error', () => undefined);
    try {
      const channel = await connection.createChannel();
      channel.on('error', () => undefined);
      const { messageCount } = await channel.checkQueue(this.given.queue);
      return messageCount;
    } finally {
      await closed(connection);
    }
  }
}

async function closed(connection: ChannelModel): Promise<void> {
  await connection.close().catch(() => undefined);
}
