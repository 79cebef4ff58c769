import { LogForbidden, LogUnreachable } from '../event-log.js';

/** What the client libraries say of an error; both name Kafka's own errors by `type` or `apiId`. */
interface ClientError {
  name?: string;
  /** kafkajs */
  type?: string;
  /** @platformatic/kafka */
  apiId?: string;
  code?: unknown;
  message: string;
  cause?: unknown;
  errors?: unknown[];
}

const DEEPEST_CAUSE = 8;

/** Somebody else began with the transactional id, or the broker gave the transaction up. */
const FENCED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'TRANSACTION_COORDINATOR_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
]);
const FORBIDDEN = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'ILLEGAL_SASL_STATE',
  'UNSUPPORTED_SASL_MECHANISM',
]);
/** The broker that was asked is not the right one, or not yet: ask for the cluster's state again. */
const MOVED = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'OFFSET_NOT_AVAILABLE',
  'KAFKA_STORAGE_ERROR',
  'BROKER_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'REQUEST_TIMED_OUT',
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
]);
/** The broker that keeps a group or a transaction is another one, still loads it, or is busy with it. */
const NOT_READY = new Set([
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
  'CONCURRENT_TRANSACTIONS',
]);
const UNREACHED = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
  'KafkaJSGroupCoordinatorNotFound',
  'KafkaJSNoBrokerAvailableError',
  'KafkaJSLockTimeout',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
  'NoAnswer',
  // @platformatic/kafka, by code
  'PLT_KFK_NETWORK',
  'PLT_KFK_TIMEOUT',
]);

/** What kafkajs says, without a name, of a broker whose connection was begun and never answered. */
const NEVER_CONNECTED = 'Broker not connected';

/** A broker took longer than may be waited. */
export class NoAnswer extends Error {
  override name = 'NoAnswer';

  constructor(withinMs: number) {
    super(`no answer within ${withinMs} ms`);
  }
}

/** A connection on which nothing ends any more, neither well nor badly. */
export class ConnectionHung extends Error {
  override name = 'ConnectionHung';

  constructor(withinMs: number) {
    super(`a connection must end what it was asked within ${withinMs} ms, got nothing`);
  }
}

/** The broker that keeps a group or a transaction took longer to be ready than may be waited. */
export class CoordinatorNotReady extends Error {
  override name = 'CoordinatorNotReady';
  /** Read by the client library: it must not try again either. */
  readonly retriable = false;

  constructor(withinMs: number, cause: unknown) {
    const got = kafkaTypeOf(cause) ?? (cause as Error).message;
    super(`a coordinator must be ready within ${withinMs} ms, got ${got}`, { cause });
  }
}

/** An error and what it came from, outermost first. */
function* causesOf(error: unknown): Generator<ClientError> {
  let cause = error;
  for (let depth = 0; cause instanceof Error && depth < DEEPEST_CAUSE; depth++) {
    const known: ClientError = cause;
    yield known;
    cause = known.errors?.[0] ?? known.cause;
  }
}

/** Kafka's name of an error, or undefined when it is none of Kafka's. */
export function kafkaTypeOf(error: unknown): string | undefined {
  for (const { type, apiId } of causesOf(error)) {
    const name = type ?? apiId;
    if (typeof name === 'string') return name;
  }
  return undefined;
}

export const isFenced = (error: unknown): boolean => FENCED.has(kafkaTypeOf(error) ?? '');

/** True when a coordinator has refused a call and may take it a moment later. */
export function isNotReady(error: unknown): boolean {
  // The library's word for a coordinator that it did not find in some seconds.
  const isLost = (error as Error).name === 'KafkaJSGroupCoordinatorNotFound';
  return isLost || NOT_READY.has(kafkaTypeOf(error) ?? '');
}

/** True when the same call may succeed a moment later. */
export function isPassing(error: unknown): boolean {
  const type = kafkaTypeOf(error);
  return type === undefined ? isUnreached(error) : MOVED.has(type);
}

function isUnreached(error: unknown): boolean {
  for (const { name = '', code, message } of causesOf(error))
    if (UNREACHED.has(name) || UNREACHED.has(String(code)) || message === NEVER_CONNECTED) return true;
  return false;
}

/** Kafka's names of the numbers that a fetched partition may carry. */
const FETCH_ERRORS: Record<number, string> = {
  1: 'OFFSET_OUT_OF_RANGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_FOR_PARTITION',
  9: 'REPLICA_NOT_AVAILABLE',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  56: 'KAFKA_STORAGE_ERROR',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  78: 'OFFSET_NOT_AVAILABLE',
};

/** What a broker says of a partition instead of its records. */
export function fetchError(code: number): Error & { type: string } {
  const type = FETCH_ERRORS[code] ?? `error ${code}`;
  return Object.assign(new Error(type), { type });
}

/** The error as an operator reads it: what was to be done, the rule, what came, and what helps. */
export function explained(error: unknown, doing: string): Error {
  const type = kafkaTypeOf(error);
  const cause = { cause: error };
  const got = type ?? (error as Error).message;
  const isAuthentication = [...causesOf(error)].some(
    ({ name, code }) => name === 'KafkaJSSASLAuthenticationError' || code === 'PLT_KFK_AUTHENTICATION',
  );
  if (isAuthentication || type?.includes('SASL'))
    return new LogForbidden(
      `event log on Kafka, ${doing}: brokers must accept the login, got ${(error as Error).message} (hint: eventLog.sasl and its files)`,
      cause,
    );
  if (FORBIDDEN.has(type ?? ''))
    return new LogForbidden(
      `event log on Kafka, ${doing}: must be allowed, got ${type} (hint: grant it to Headroom's user with kafka-acls)`,
      cause,
    );
  if (isUnreached(error))
    return new LogUnreachable(
      `event log on Kafka, ${doing}: a broker must answer, got ${got} (hint: eventLog.brokers)`,
      cause,
    );
  const late = [...causesOf(error)].find(({ name }) => name === 'CoordinatorNotReady');
  if (late !== undefined)
    return new Error(
      `event log on Kafka, ${doing}: ${late.message} (hint: a broker moves or loads what it keeps, or has too little CPU)`,
      cause,
    );
  return new Error(`event log on Kafka, ${doing}: must succeed, got ${got}`, cause);
}
