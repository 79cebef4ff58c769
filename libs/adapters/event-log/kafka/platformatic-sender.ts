import { Producer, stringSerializers, type BaseOptions } from '@platformatic/kafka';
import type { TopicMessages } from 'kafkajs';
import { REQUEST_TIMEOUT_MS, textOf, tlsOf, type TokenSource } from './kafka-client.js';
import type { KafkaSettings } from './kafka-settings.js';
import type { BatchSender } from './topic-appender.js';

const CONNECT_TIMEOUT_MS = 3_000;
const RETRIES = 12;
const RETRY_DELAY_MS = 300;
const ALL_COPIES = -1;
/** In the order of Kafka's numbers, which the other client uses. */
const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

type TextProducer = Producer<string, string, string, string>;

/** The second client's idempotent producer, which takes less CPU than the first one's. */
export class PlatformaticSender implements BatchSender {
  private constructor(private readonly producer: TextProducer) {}

  static async connect(settings: KafkaSettings, token?: TokenSource): Promise<PlatformaticSender> {
    const options = await platformaticOptions(settings, token);
    const producer: TextProducer = new Producer({
      ...options,
      serializers: stringSerializers,
      idempotent: true,
      autocreateTopics: false,
    });
    return new PlatformaticSender(producer);
  }

  async sendBatch(batch: { topicMessages: TopicMessages[]; compression: number }): Promise<void> {
    const { topicMessages, compression } = batch;
    const messages = topicMessages.flatMap(({ topic, messages: own }) =>
      own.map(({ key, value, headers, partition }) => ({
        topic,
        key: key as string,
        value: value as string,
        ...(partition !== undefined && { partition }),
        ...(headers && { headers: headers as Record<string, string> }),
      })),
    );
    const codec = COMPRESSIONS[compression] ?? 'none';
    await this.producer.send({ messages, acks: ALL_COPIES, compression: codec });
  }

  async disconnect(): Promise<void> {
    await this.producer.close(true);
  }
}

/** The settings as the second client takes them. */
export async function platformaticOptions(
  settings: KafkaSettings,
  token?: TokenSource,
): Promise<BaseOptions> {
  const tls = await tlsOf(settings);
  const sasl = await saslOf(settings, token);
  return {
    clientId: settings.clientId,
    bootstrapBrokers: settings.brokers,
    connectTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    timeout: REQUEST_TIMEOUT_MS,
    retries: RETRIES,
    retryDelay: RETRY_DELAY_MS,
    ...(typeof tls === 'object' && { tls }),
    ...(sasl && { sasl }),
  };
}

async function saslOf({ sasl }: KafkaSettings, token?: TokenSource): Promise<BaseOptions['sasl']> {
  if (sasl === undefined) return undefined;
  if (sasl.mechanism === 'oauthbearer') {
    const source = token ?? (() => textOf('eventLog.sasl.tokenFile', sasl.tokenFile));
    return { mechanism: 'OAUTHBEARER', token: source };
  }
  const { username, passwordFile } = sasl;
  const mechanism = sasl.mechanism.toUpperCase() as 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
  return { mechanism, username, password: await textOf('eventLog.sasl.passwordFile', passwordFile) };
}
