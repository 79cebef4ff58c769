import type { PolicyRow, PolicyStore } from '#adapters/store';

/** Rows of one query when the policies are read again. */
const PAGE = 1_000;

/** The policies in memory, because every decision needs one: read again from time to time, and after each write. */
export class PolicyCache {
  private rows = new Map<string, PolicyRow>();
  private digest: string | undefined;

  constructor(private readonly store: Pick<PolicyStore, 'page' | 'digest'>) {}

  /** Takes over what others have written. */
  async refresh(): Promise<void> {
    // First: what changes while they are being read changes it, too.
    const digest = await this.store.digest();
    if (digest === this.digest) return;
    const rows = new Map<string, PolicyRow>();
    let page: PolicyRow[];
    let after: string | undefined;
    do {
      page = await this.store.page({ after, limit: PAGE });
      for (const row of page) rows.set(row.pool, row);
      after = page.at(-1)?.pool;
    } while (page.length === PAGE);
    this.rows = rows;
    this.digest = digest;
  }

  get(pool: string): PolicyRow | undefined {
    return this.rows.get(pool);
  }

  all(): PolicyRow[] {
    return [...this.rows.values()];
  }
}
