import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { driverErrorOf } from './store-unavailable.js';

/** How long the server may take to answer before it counts as away. */
const ANSWER_WITHIN_MS = 2_000;

/** Asks the server from time to time whether it takes writes. */
export class Reachability {
  problem: string | undefined;
  private asked: Promise<string | undefined> | undefined;

  constructor(private readonly dataSource: DataSource) {}

  /** Never rejects: that the server is away is an answer. */
  async check(): Promise<void> {
    // One question at a time: those to a server that has hung would take up all connections.
    this.asked ??= this.ask().finally(() => (this.asked = undefined));
    const late = new AbortController();
    const timeout = delay(ANSWER_WITHIN_MS, `store: must answer within ${ANSWER_WITHIN_MS} ms, did not`, {
      signal: late.signal,
    }).catch(() => undefined);
    this.problem = await Promise.race([this.asked, timeout]);
    late.abort();
  }

  private async ask(): Promise<string | undefined> {
    try {
      const [{ writable }] = await this.dataSource.query<[{ writable: boolean }]>(
        `select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off' as writable`,
      );
      return writable ? undefined : 'store: must take writes, got a server that only reads';
    } catch (error) {
      return `store: PostgreSQL must be reachable, got: ${driverErrorOf(error).message}`;
    }
  }
}
