import type { DataSource, EntityManager } from 'typeorm';
import type { Policy } from '#domain/scaling';
import { policies, type PolicyRow } from './tables.js';

export type { PolicyRow } from './tables.js';

/** Which state of a policy somebody has seen. */
export type SeenPolicy = Pick<PolicyRow, 'version' | 'updatedAtMs'>;

interface NewPolicy {
  pool: string;
  policy: Policy;
  nowMs: number;
}

/** Policies by pool; every change raises the version, and a change names the version it saw. */
export class PolicyStore {
  constructor(private readonly dataSource: DataSource) {}

  get(pool: string): Promise<PolicyRow | null> {
    return this.dataSource.getRepository(policies).findOneBy({ pool });
  }

  /** In order of pool name, after the cursor. */
  page({ after = '', limit }: { after?: string | undefined; limit: number }): Promise<PolicyRow[]> {
    const page = this.dataSource.getRepository(policies).createQueryBuilder('p');
    return page.where('p.pool > :after', { after }).orderBy('p.pool').limit(limit).getMany();
  }

  /** Names of all pools that have a policy. */
  async pools(): Promise<string[]> {
    const rows = await this.dataSource.getRepository(policies).find({ select: { pool: true } });
    return rows.map(({ pool }) => pool);
  }

  /** `conflict`: there is a policy already. `full`: there is not, and there are `maxPolicies` of others. */
  async create(row: NewPolicy & { maxPolicies: number }): Promise<PolicyRow | 'conflict' | 'full'>;
  async create(row: NewPolicy): Promise<PolicyRow | 'conflict'>;
  async create(row: NewPolicy & { maxPolicies?: number }): Promise<PolicyRow | 'conflict' | 'full'> {
    const { pool, policy, nowMs, maxPolicies } = row;
    const created: PolicyRow = { pool, policy, version: 1, updatedAtMs: nowMs };
    return this.dataSource.transaction(async (transaction) => {
      if (maxPolicies !== undefined && !(await hasRoom({ pool, maxPolicies }, transaction))) return 'full';
      const insert = transaction.createQueryBuilder().insert().into(policies).values(created);
      const { raw } = await insert.orIgnore().returning('pool').execute();
      return (raw as unknown[]).length === 1 ? created : 'conflict';
    });
  }

  /**
   * `conflict`: the policy is not the one that was seen (any more), or is gone. The version alone would not tell: one that
   * was deleted and made again starts from 1.
   */
  async update(row: {
    pool: string;
    policy: Policy;
    seen: SeenPolicy;
    nowMs: number;
  }): Promise<PolicyRow | 'conflict'> {
    const updated: PolicyRow = {
      pool: row.pool,
      policy: row.policy,
      version: row.seen.version + 1,
      updatedAtMs: row.nowMs,
    };
    const repository = this.dataSource.getRepository(policies);
    const { affected } = await repository.update({ pool: row.pool, ...row.seen }, updated);
    return affected === 1 ? updated : 'conflict';
  }

  async delete({ pool, seen }: { pool: string; seen: SeenPolicy }): Promise<'deleted' | 'conflict'> {
    const { affected } = await this.dataSource.getRepository(policies).delete({ pool, ...seen });
    return affected === 1 ? 'deleted' : 'conflict';
  }
}

/** Of the advisory locks of this database: of two that count at once, both would find the last place. */
const CREATION_LOCK = 0x706f6c69; // "poli"

/** Nobody else creates a bounded policy until the transaction has ended. */
async function hasRoom(
  { pool, maxPolicies }: { pool: string; maxPolicies: number },
  transaction: EntityManager,
): Promise<boolean> {
  await transaction.query('select pg_advisory_xact_lock($1)', [CREATION_LOCK]);
  if (await transaction.existsBy(policies, { pool })) return true;
  return (await transaction.count(policies)) < maxPolicies;
}
