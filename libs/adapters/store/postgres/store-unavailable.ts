import { QueryFailedError } from 'typeorm';
import type { PostgresSettings } from '../store-settings.js';

/** The server cannot be used as a store. `unreachable` may pass by itself; the others are for somebody to change. */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable';

  constructor(
    readonly reason: 'unreachable' | 'not-allowed' | 'unusable',
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}

type Reading = [code: RegExp, reason: StoreUnavailable['reason'], rule: string, hint?: string];

/** What the server's SQLSTATE means for somebody who opens a store. */
const READINGS: Reading[] = [
  [/^08/, 'unreachable', 'must be reachable'],
  // It starts or stops, or has no connection free.
  [/^(57P0[123]|53300)$/, 'unreachable', 'must take another connection'],
  [/^28/, 'not-allowed', 'must let the user in', 'look at store.url, store.passwordFile and pg_hba.conf'],
  [/^42501$/, 'not-allowed', 'must let the user create tables', 'make the user owner of the database'],
  [/^3D000$/, 'unusable', 'must have the database', 'create it, with the user as its owner'],
  [/^25006$/, 'unusable', 'must take writes', 'a standby only reads'],
];

/** What is wrong, in terms of the settings. What is no trouble with the server stays as it is. */
export function unavailable(error: unknown, { url }: PostgresSettings): Error {
  if (error instanceof StoreUnavailable) return error;
  const { code = '', message } = driverErrorOf(error);
  const reading = READINGS.find(([pattern]) => pattern.test(code));
  if (reading === undefined) return error as Error;
  const [, reason, rule, hint] = reading;
  const { host, pathname } = new URL(url);
  return new StoreUnavailable(
    reason,
    `store: PostgreSQL at ${host}${pathname} ${rule}, got: ${message}`,
    hint,
  );
}

/** What TypeORM has wrapped. */
export function driverErrorOf(error: unknown): Error & { code?: string } {
  return error instanceof QueryFailedError ? error.driverError : (error as Error);
}
