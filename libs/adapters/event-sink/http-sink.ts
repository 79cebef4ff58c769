import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { BufferedSink, type Delivery, type SinkLimits, type WaitingEvent } from './buffered-sink.js';
import type { EventSinkObserver } from './event-sink.js';

const BATCH_MEDIA_TYPE = 'application/cloudevents-batch+json';
const ACCEPTED = 202;
const TOO_LARGE = 413;
/** Answers that another attempt may change: a token that is being replaced, a slow connection, too many requests. */
const WORTH_RETRYING = new Set([401, 408, 429]);

/**
 * `POST {url}/v1/events`: for a service in another process. Over node:http, because fetch costs a worker process about
 * 10 MB; https is loaded when the url asks for it.
 */
export class HttpSink extends BufferedSink {
  private readonly connection: Connection;

  constructor(given: {
    /** Origin of the API, e.g. http://127.0.0.1:8080. */
    url: string;
    token: string;
    observer: EventSinkObserver;
    limits?: Partial<SinkLimits>;
  }) {
    const connection = new Connection(new URL('/v1/events', given.url), given.token);
    super((batch, signal) => connection.post(batch, signal), given.observer, given.limits);
    this.connection = connection;
  }

  /** The token of the next request; a batch that was refused with 401 is sent again with it. */
  setToken(token: string): void {
    this.connection.token = token;
  }

  override async close(deadlineMs: number): Promise<void> {
    await super.close(deadlineMs);
    this.connection.close();
  }
}

class Connection {
  private agent: Agent | undefined;

  constructor(
    private readonly url: URL,
    public token: string,
  ) {}

  async post(batch: readonly WaitingEvent[], signal: AbortSignal): Promise<Delivery> {
    const body = Buffer.from(`[${batch.map(({ json }) => json).join(',')}]`);
    return deliveryOf(await this.send(body, signal));
  }

  close(): void {
    this.agent?.destroy();
  }

  private async send(body: Buffer, signal: AbortSignal): Promise<number> {
    const client =
      this.url.protocol === 'https:' ? await import('node:https') : { Agent, request: httpRequest };
    this.agent ??= new client.Agent({ keepAlive: true, maxSockets: 1 });
    const headers = {
      authorization: `Bearer ${this.token}`,
      'content-type': BATCH_MEDIA_TYPE,
      'content-length': body.length,
    };
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const onReply = (reply: IncomingMessage) => {
      reply.resume().once('error', reject);
      reply.once('end', () => resolve(reply.statusCode ?? 0));
    };
    client
      .request(this.url, { method: 'POST', agent: this.agent, headers, signal }, onReply)
      .once('error', reject)
      .end(body);
    return promise;
  }
}

function deliveryOf(status: number): Delivery {
  if (status === ACCEPTED) return 'acknowledged';
  if (status === TOO_LARGE) return 'too_large';
  if (status >= 400 && status < 500 && !WORTH_RETRYING.has(status)) return 'refused';
  throw new Error(`events: the API must answer ${ACCEPTED}, got ${status}`);
}
