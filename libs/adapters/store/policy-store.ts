import type { DataSource, EntityManager } from 'typeorm';
import type { Policy } from '#domain/scaling';
import { inStatements } from './bounded-statements.js';
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

  /** Another text after every change, and until then the same: whoever has read all of them need not read them again. */
  async digest(): Promise<string> {
    const [{ digest }] = await this.dataSource.query<[{ digest: string | null }]>(
      `select md5(string_agg(pool || ' ' || version || ' ' || updated_at_ms, ',' order by pool)) as digest from policies`,
    );
    return digest ?? '';
  }

  /** Names of all pools that have a policy. */
  async pools(): Promise<string[]> {
    // One text: ten thousand rows of their own would cost this thread more than what is in them.
    const [{ names }] = await this.dataSource.query<[{ names: string | null }]>(
      'select json_agg(pool)::text as names from policies',
    );
    return JSON.parse(names ?? '[]') as string[];
  }

  /** `conflict`: there is a policy already. `full`: there is not, and there are `maxPolicies` of others. */
  async create(row: NewPolicy & { maxPolicies: number }): Promise<PolicyRow | 'conflict' | 'full'>;
  async create(row: NewPolicy): Promise<PolicyRow | 'conflict'>;
  async create({
    maxPolicies,
    ...row
  }: NewPolicy & { maxPolicies?: number }): Promise<PolicyRow | 'conflict' | 'full'> {
    const { created, full } = await this.createAll([row], { maxPolicies });
    if (full.length > 0) return 'full';
    const { pool, policy, nowMs } = row;
    return created.length === 1 ? { pool, policy, version: 1, updatedAtMs: nowMs } : 'conflict';
  }

  /**
   * Creates the policies that are missing, in one transaction. `full`: pools that have none, because there are
   * `maxPolicies` of others.
   */
  async createAll(
    given: readonly NewPolicy[],
    { maxPolicies }: { maxPolicies?: number | undefined } = {},
  ): Promise<{ created: string[]; full: string[] }> {
    // In one order everywhere: of two that create the same pools, neither waits for what the other has.
    const rows = given.toSorted((one, other) => (one.pool < other.pool ? -1 : 1));
    return this.dataSource.transaction(async (transaction) => {
      const refused =
        maxPolicies === undefined ? new Set<string>() : await beyond({ rows, maxPolicies }, transaction);
      const fit = rows.filter(({ pool }) => !refused.has(pool));
      const created: string[] = [];
      await inStatements(fit, async (some) => created.push(...(await insertMissing(some, transaction))));
      return { created, full: [...refused] };
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

/** Pools without a policy for which there is no place. Nobody else takes one until the transaction has ended. */
async function beyond(
  { rows, maxPolicies }: { rows: NewPolicy[]; maxPolicies: number },
  transaction: EntityManager,
): Promise<Set<string>> {
  await transaction.query('select pg_advisory_xact_lock($1)', [CREATION_LOCK]);
  const pools = rows.map(({ pool }) => pool);
  const [{ held, found }] = await transaction.query<[{ held: string | number; found: string[] }]>(
    `select (select count(*) from policies) as held,
       array(select pool from policies where pool = any($1::text[])) as found`,
    [pools],
  );
  const known = new Set(found);
  const missing = pools.filter((pool) => !known.has(pool));
  return new Set(missing.slice(Math.max(0, maxPolicies - Number(held))));
}

/** The pools whose policy was not there. */
async function insertMissing(rows: NewPolicy[], transaction: EntityManager): Promise<string[]> {
  const inserted = await transaction.query<{ pool: string }[]>(
    `insert into policies (pool, version, updated_at_ms, policy)
     select pool, 1, "nowMs", policy from json_to_recordset($1::json) as given(pool text, "nowMs" bigint, policy jsonb)
     on conflict do nothing returning pool`,
    [JSON.stringify(rows)],
  );
  return inserted.map(({ pool }) => pool);
}
