import type { PolicyStore } from '#adapters/store';
import type { Policy } from '#domain/scaling';

/** What ingest must know of a pool. */
export interface PoolSettings {
  bucketS: number;
  latenessS: number;
  /** Shortest first. */
  seasonsS: readonly number[];
}

export interface PoolRegistryOptions {
  policies: PolicyStore;
  /** Pools of the configuration, with the policy each starts with. */
  configured: ReadonlyMap<string, PoolSettings & { policy: Policy }>;
  /** For pools that their first event creates. */
  defaults: PoolSettings & { policy: Policy };
  /** Pools in all; those of the configuration and those with a policy count, and are never refused. */
  maxPools: number;
  nowMs: () => number;
  onCreated: (pool: string) => void;
}

/**
 * The pools whose events count: those with a policy. A step must know at once whether a pool is one too many, so a new
 * pool is admitted in memory first; its policy is created before the step commits. After a crash in between the same
 * events admit it again. Other processes admit pools as well, and the store has the last word on the last places. A pool
 * whose policy was deleted gives its place back; its next event creates it anew.
 */
export class PoolRegistry {
  private known = new Set<string>();
  private readonly uncreated = new Set<string>();
  /** Created since the last refresh began: its answer may not have them. */
  private readonly created = new Set<string>();

  private constructor(private readonly options: PoolRegistryOptions) {}

  /** With every pool of the configuration and the store; creates the policies that are missing. */
  static async load(options: PoolRegistryOptions): Promise<PoolRegistry> {
    const registry = new PoolRegistry(options);
    await registry.refresh();
    for (const pool of options.configured.keys()) registry.admits(pool);
    await registry.createAll(options.configured.keys());
    return registry;
  }

  /** Whether a pool's events count, which may take it in; false: it is one pool too many. */
  admits(pool: string): boolean {
    if (this.known.has(pool)) return true;
    if (this.known.size >= this.options.maxPools && !this.options.configured.has(pool)) return false;
    this.known.add(pool);
    this.uncreated.add(pool);
    return true;
  }

  /** Whether a pool has a policy, or is about to get one. */
  knows(pool: string): boolean {
    return this.known.has(pool);
  }

  /** Settings of a pool, whether it is admitted or not. */
  settingsOf(pool: string): PoolSettings {
    return this.options.configured.get(pool) ?? this.options.defaults;
  }

  /**
   * Makes the policies of these pools durable, as far as they were admitted and are not yet; one that exists by now is
   * left as it is. False: others have taken the last places meanwhile, so one of the pools is none any more, and a step
   * that counted it must be made again.
   */
  async createAll(pools: Iterable<string>): Promise<boolean> {
    const counted = [...pools];
    const missing = counted.filter((pool) => this.uncreated.has(pool));
    if (missing.length > 0) await this.create(missing);
    return counted.every((pool) => this.known.has(pool));
  }

  /** Follows the store: pools whose policy was made elsewhere, e.g. through the API, come; those that lost it go. */
  async refresh(): Promise<void> {
    this.created.clear();
    const stored = await this.options.policies.pools();
    this.known = new Set([...stored, ...this.created, ...this.uncreated]);
  }

  private async create(pools: string[]): Promise<void> {
    const { policies, configured, defaults, maxPools, nowMs, onCreated } = this.options;
    const rows = pools.map((pool) => {
      return { pool, policy: (configured.get(pool) ?? defaults).policy, nowMs: nowMs() };
    });
    const [own, others] = [true, false].map((isOwn) =>
      rows.filter(({ pool }) => configured.has(pool) === isOwn),
    ) as [typeof rows, typeof rows];
    const { created: named } = await policies.createAll(own);
    const { created, full } = await policies.createAll(others, { maxPolicies: maxPools });
    for (const pool of pools) {
      this.uncreated.delete(pool);
      this.created.add(pool);
      this.known.add(pool);
    }
    for (const pool of full) {
      this.created.delete(pool);
      this.known.delete(pool);
    }
    for (const pool of [...named, ...created]) onCreated(pool);
    if (full.length > 0) await this.refresh();
  }
}
