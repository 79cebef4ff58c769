import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs, { type ISocketFactory, type Kafka, type KafkaConfig, type SASLOptions } from 'kafkajs';
import type { KafkaSettings } from './kafka-settings.js';
import { UnreadableSecret } from './unreadable-secret.js';
import { givingWholeAnswers, plainSocket } from './whole-answers.js';

const { CompressionCodecs, CompressionTypes, Kafka: KafkaClient, logLevel } = kafkajs;

/** A call that is not answered by then has failed. */
export const REQUEST_TIMEOUT_MS = 10_000;
const CONNECTION_TIMEOUT_MS = 3_000;
/** Back-to-back transactions wait for each other's end now and then, which the library calls an error. */
const ORDINARY = /another concurrent operation on the same transaction/;
/** The library's own retries, some four seconds in all. Its default of 300 ms slows back-to-back transactions. */
const RETRY = { initialRetryTime: 20, multiplier: 1.5, maxRetryTime: 1_000, retries: 12 };

/** Fetches an OAUTHBEARER token. */
export type TokenSource = () => Promise<string>;

export interface KafkaClientOptions {
  /** Instead of the file of the settings. */
  token?: TokenSource;
  /** What the client library calls errors; no secrets. It tries most of them again by itself. */
  note?: (text: string) => void;
  /** How connections are made; default: TCP, or TLS when the settings say so. */
  socketFactory?: ISocketFactory;
}

/** Reads the files of the settings; throws with the file's name when one cannot be read. */
export async function kafkaClient(settings: KafkaSettings, options: KafkaClientOptions): Promise<Kafka> {
  const { note, socketFactory = plainSocket } = options;
  CompressionCodecs[CompressionTypes.ZSTD] = () => ZSTD;
  const tls = await tlsOf(settings);
  const sasl = await saslOf(settings, options.token);
  return new KafkaClient({
    brokers: settings.brokers,
    clientId: settings.clientId,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    authenticationTimeout: REQUEST_TIMEOUT_MS,
    retry: RETRY,
    ...(tls && { ssl: tls }),
    ...(sasl && { sasl }),
    socketFactory: givingWholeAnswers(socketFactory),
    logLevel: note === undefined ? logLevel.NOTHING : logLevel.ERROR,
    logCreator: () => (entry) => {
      const { message, error, broker } = entry.log;
      if (ORDINARY.test(`${message} ${error}`)) return;
      const detail = [error, broker].filter((part) => typeof part === 'string').join(', ');
      note?.(detail === '' ? message : `${message}: ${detail}`);
    },
  });
}

/** Node.js brings zstd; the library brings gzip, and nothing brings the others. */
const ZSTD = {
  compress: async (encoder: { buffer: Buffer }) => promisify(zstdCompress)(encoder.buffer),
  decompress: async (buffer: Buffer) => promisify(zstdDecompress)(buffer),
};

/** The library's number of a compression. */
export function compressionOf({ compression }: Pick<KafkaSettings, 'compression'>): number {
  return { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, zstd: CompressionTypes.ZSTD }[
    compression
  ];
}

export async function tlsOf({ tls }: KafkaSettings): Promise<KafkaConfig['ssl'] | undefined> {
  if (tls === undefined) return undefined;
  const { caFile, certFile, keyFile, serverName } = tls;
  return {
    ...(caFile !== undefined && { ca: [await textOf('eventLog.tls.caFile', caFile)] }),
    ...(certFile !== undefined && { cert: await textOf('eventLog.tls.certFile', certFile) }),
    ...(keyFile !== undefined && { key: await textOf('eventLog.tls.keyFile', keyFile) }),
    ...(serverName !== undefined && { servername: serverName }),
  };
}

async function saslOf({ sasl }: KafkaSettings, token?: TokenSource): Promise<SASLOptions | undefined> {
  if (sasl === undefined) return undefined;
  if (sasl.mechanism === 'oauthbearer') {
    const source = token ?? (() => textOf('eventLog.sasl.tokenFile', sasl.tokenFile));
    return { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: await source() }) };
  }
  const { mechanism, username, passwordFile } = sasl;
  return { mechanism, username, password: await textOf('eventLog.sasl.passwordFile', passwordFile) };
}

/** Without the line end that editors leave. */
export async function textOf(key: string, path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    const actual = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new UnreadableSecret(`${key}: must be a readable file, got ${actual} (${path})`);
  }
}
