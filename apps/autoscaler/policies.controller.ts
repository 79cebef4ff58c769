import { Controller, Headers, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import {
  CallerOf,
  Endpoint,
  FromBody,
  FromParams,
  FromQuery,
  problem,
  type Caller,
} from '#adapters/http-api';
import { PolicyStore, type PolicyRow, type SeenPolicy } from '#adapters/store';
import { policySchema, type Policy } from '#domain/scaling';
import { PolicyCache } from './policy-cache.js';
import { AUTOSCALER_ROUTES as ROUTES, pageQuery, poolParams, type policyAnswer } from './routes.js';

type PolicyAnswer = z.output<typeof policyAnswer>;
type PoolParams = z.output<typeof poolParams>;

/** What the controller needs besides the store. */
export class PolicyLimits {
  constructor(
    readonly maxPools: number,
    /** Pools that the configuration declares: each start gives them a policy. */
    readonly configured: ReadonlySet<string>,
    readonly nowMs: () => number,
    readonly observer: PolicyObserver,
  ) {}
}

export interface PolicyObserver {
  /** Somebody has changed a policy through the API. */
  policyChanged(change: PolicyChange): void;
}

export interface PolicyChange {
  what: 'created' | 'replaced' | 'deleted';
  pool: string;
  /** The new one; of a deletion, the one that is gone. */
  version: number;
  /** Who, as the token says. */
  subject: string;
}

@Controller()
export class PoliciesController {
  constructor(
    private readonly store: PolicyStore,
    private readonly cache: PolicyCache,
    private readonly limits: PolicyLimits,
  ) {}

  @Endpoint(ROUTES.listPolicies)
  async list(@FromQuery(pageQuery) { limit, cursor }: z.output<typeof pageQuery>) {
    const rows = await this.store.page({ after: cursor, limit });
    return {
      items: rows.map(answerOf),
      nextCursor: rows.length === limit ? (rows.at(-1)?.pool ?? null) : null,
    };
  }

  @Endpoint(ROUTES.getPolicy)
  async get(@FromParams(poolParams) { pool }: PoolParams, @Res({ passthrough: true }) reply: FastifyReply) {
    const row = await this.store.get(pool);
    if (row === null) throw unknownPool(pool);
    return tagged(row, reply);
  }

  @Endpoint(ROUTES.putPolicy)
  async put(
    @FromParams(poolParams) { pool }: PoolParams,
    @FromBody(policySchema) policy: Policy,
    @Headers('if-match') ifMatch: string | undefined,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @CallerOf() { subject }: Caller,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const nowMs = this.limits.nowMs();
    const creates = ifNoneMatch === '*';
    if (ifMatch !== undefined && ifNoneMatch !== undefined) throw contradictory();
    if (!creates && ifMatch === undefined) throw unconditional('If-Match (or If-None-Match: * to create)');
    const { maxPools } = this.limits;
    const row = creates
      ? await this.store.create({ pool, policy, nowMs, maxPolicies: maxPools })
      : await this.replace({ pool, policy, ifMatch: ifMatch as string, nowMs });
    if (row === 'full') throw noRoom(maxPools);
    if (row === 'conflict') throw await this.outdated(pool);
    const what = creates ? 'created' : 'replaced';
    this.limits.observer.policyChanged({ what, pool, version: row.version, subject });
    await this.cache.refresh();
    return tagged(row, reply);
  }

  @Endpoint(ROUTES.deletePolicy)
  async delete(
    @FromParams(poolParams) { pool }: PoolParams,
    @Headers('if-match') ifMatch: string | undefined,
    @CallerOf() { subject }: Caller,
  ): Promise<void> {
    if (ifMatch === undefined) throw unconditional('If-Match');
    if (this.limits.configured.has(pool)) throw declared(pool);
    const seen = await this.seen(pool, ifMatch);
    if (seen === undefined || (await this.store.delete({ pool, seen })) === 'conflict')
      throw await this.outdated(pool);
    const { version } = seen;
    this.limits.observer.policyChanged({ what: 'deleted', pool, version, subject });
    await this.cache.refresh();
  }

  private async replace(given: { pool: string; policy: Policy; ifMatch: string; nowMs: number }) {
    const { ifMatch, ...row } = given;
    const seen = await this.seen(row.pool, ifMatch);
    return seen === undefined ? ('conflict' as const) : this.store.update({ ...row, seen });
  }

  /** What the policy is at, when If-Match names it; whoever changes it until the write wins. */
  private async seen(pool: string, ifMatch: string): Promise<SeenPolicy | undefined> {
    const row = await this.store.get(pool);
    if (row === null || !names(ifMatch, tagOf(row))) return undefined;
    return { version: row.version, updatedAtMs: row.updatedAtMs };
  }

  private async outdated(pool: string) {
    const row = await this.store.get(pool);
    const actual = row === null ? 'no policy' : `version ${tagOf(row)}`;
    return problem(412, {
      name: 'policy-version',
      detail: `policy ${pool}: must be at the version named, got ${actual}`,
      hint: `GET /v1/policies/${pool} and repeat the change on what it answers`,
    });
  }
}

function answerOf({ pool, version, updatedAtMs, policy }: PolicyRow): PolicyAnswer {
  return { pool, version, updatedAt: new Date(updatedAtMs).toISOString(), policy };
}

function tagged(row: PolicyRow, reply: FastifyReply): PolicyAnswer {
  void reply.header('etag', tagOf(row));
  return answerOf(row);
}

function tagOf({ version, updatedAtMs }: SeenPolicy): string {
  return `"${version}-${updatedAtMs}"`;
}

/** RFC 9110, section 13.1.1: `*`, or a list of tags of which one must be the same. No tag of ours has a comma in it. */
function names(ifMatch: string, tag: string): boolean {
  if (ifMatch.trim() === '*') return true;
  return ifMatch.split(',').some((named) => named.trim() === tag);
}

function contradictory() {
  return problem(400, {
    name: 'contradictory-conditions',
    detail: 'If-Match, If-None-Match: must be one of both, got both',
    hint: 'If-None-Match: * creates, If-Match replaces',
  });
}

function declared(pool: string) {
  return problem(409, {
    name: 'pool-configured',
    detail: `policy ${pool}: must be of a pool that the configuration does not declare, got a declared one`,
    hint: 'remove the pool from the configuration and restart, then delete its policy; or PUT mode observe',
  });
}

function unconditional(header: string) {
  return problem(428, {
    name: 'condition-required',
    detail: `${header}: must be given, so that nobody’s change is lost, got none`,
    hint: 'the ETag of the last answer is the version',
  });
}

function noRoom(maxPools: number) {
  return problem(409, {
    name: 'too-many-pools',
    detail: `pools: at most ${maxPools} (ingest.maxPools), all taken`,
  });
}

export function unknownPool(pool: string) {
  return problem(404, {
    name: 'unknown-pool',
    detail: `pool: must have a policy, got ${pool}`,
    hint: 'see /v1/pools',
  });
}
