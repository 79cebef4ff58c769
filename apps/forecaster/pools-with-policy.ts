import type { PolicyStore } from '#adapters/store';

/** Names of the pools that have a policy, read again from time to time: nobody decides by the forecasts of the others. */
export class PoolsWithPolicy {
  private names = new Set<string>();

  constructor(private readonly store: Pick<PolicyStore, 'pools'>) {}

  async refresh(): Promise<void> {
    this.names = new Set(await this.store.pools());
  }

  has(pool: string): boolean {
    return this.names.has(pool);
  }
}
