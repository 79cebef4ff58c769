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
 */
export class PoolRegistry {
  private readonly known = new Set<string>();
  private uncreated = new Set<string>();

  private constructor(private readonly options: PoolRegistryOptions) {}

  /** With every pool of the configuration and the store; creates the policies that are missing. */
  static async load(options: PoolRegistryOptions): Promise<PoolRegistry> {
    const registry = new PoolRegistry(options);
    await registry.refresh();
    for (const pool of options.configured.keys()) if (!registry.known.has(pool)) registry.admit(pool);
    await registry.createAdmitted();
    return registry;
  }

  /** Settings of a pool, which this may admit; undefined: one pool too many. */
  settingsOf(pool: string): PoolSettings | undefined {
    if (!this.known.has(pool)) {
      if (this.known.size >= this.options.maxPools) return undefined;
      this.admit(pool);
    }
    return this.options.configured.get(pool) ?? this.options.defaults;
  }

  /** Pools that have been counted before stay, whatever the bound says now. */
  keep(pools: Iterable<string>): void {
    for (const pool of pools) if (!this.known.has(pool)) this.admit(pool);
  }

  pools(): string[] {
    return [...this.known];
  }

  /** Makes the policies of newly admitted pools durable. A policy that exists by now is left as it is. */
  async createAdmitted(): Promise<void> {
    const { policies, configured, defaults, nowMs, onCreated } = this.options;
    for (const pool of this.uncreated) {
      const { policy } = configured.get(pool) ?? defaults;
      const created = await policies.create({ pool, policy, nowMs: nowMs() });
      this.uncreated.delete(pool);
      if (created !== 'conflict') onCreated(pool);
    }
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

  private admit(pool: string): void {
    this.known.add(pool);
    this.uncreated.add(pool);
  }
}
