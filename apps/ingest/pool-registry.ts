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

/** Policies read at a time. */
const PAGE_POLICIES = 500;

/**
 * The pools whose events count. A step must know at once whether a pool is one too many, so a new pool is admitted in
 * memory first; its policy is created before the step commits. After a crash in between the same events admit it again.
 * Other processes admit pools as well: the store has the last word on the last places.
 */
export class PoolRegistry {
  private readonly known = new Set<string>();
  /** Admitted, and not in the store yet. */
  private readonly uncreated = new Map<string, { maxPolicies?: number }>();

  private constructor(private readonly options: PoolRegistryOptions) {}

  /** With every pool of the configuration and the store; creates the policies that are missing. */
  static async load(options: PoolRegistryOptions): Promise<PoolRegistry> {
    const registry = new PoolRegistry(options);
    await registry.refresh();
    registry.keep(options.configured.keys());
    await registry.createAll(options.configured.keys());
    return registry;
  }

  /** Settings of a pool, which this may admit; undefined: one pool too many. */
  settingsOf(pool: string): PoolSettings | undefined {
    if (!this.known.has(pool)) {
      const { maxPools } = this.options;
      if (this.known.size >= maxPools) return undefined;
      this.admit(pool, { maxPolicies: maxPools });
    }
    return this.options.configured.get(pool) ?? this.options.defaults;
  }

  /** Pools that have been counted before stay, whatever the bound says now. */
  keep(pools: Iterable<string>): void {
    for (const pool of pools) if (!this.known.has(pool)) this.admit(pool, {});
  }

  pools(): string[] {
    return [...this.known];
  }

  /**
   * Makes the policies of these pools durable, as far as they were admitted and are not yet; one that exists by now is
   * left as it is. False: others have taken the last places meanwhile, so one of the pools is none any more, and a step
   * that counted it must be made again.
   */
  async createAll(pools: Iterable<string>): Promise<boolean> {
    const counted = [...pools];
    for (const pool of counted) if (this.uncreated.has(pool)) await this.create(pool);
    return counted.every((pool) => this.known.has(pool));
  }

  /** Learns of pools whose policy was made elsewhere, e.g. through the API. */
  async refresh(): Promise<void> {
    let after: string | undefined;
    do {
      const page = await this.options.policies.page({ after, limit: PAGE_POLICIES });
      for (const { pool } of page) this.known.add(pool);
      after = page.at(-1)?.pool;
    } while (after !== undefined);
  }

  private admit(pool: string, bound: { maxPolicies?: number }): void {
    this.known.add(pool);
    this.uncreated.set(pool, bound);
  }

  private async create(pool: string): Promise<void> {
    const { policies, configured, defaults, nowMs, onCreated } = this.options;
    const { policy } = configured.get(pool) ?? defaults;
    const { maxPolicies = Infinity } = this.uncreated.get(pool) ?? {};
    const row = { pool, policy, nowMs: nowMs() };
    const created = await (maxPolicies === Infinity
      ? policies.create(row)
      : policies.create({ ...row, maxPolicies }));
    this.uncreated.delete(pool);
    if (created === 'full') {
      this.known.delete(pool);
      await this.refresh();
      return;
    }
    this.known.add(pool);
    if (created !== 'conflict') onCreated(pool);
  }
}
