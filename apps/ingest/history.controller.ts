import { Controller } from '@nestjs/common';
import { z } from 'zod';
import { Endpoint, FromBody, FromParams, FromQuery, problem, type Route } from '#adapters/http-api';
import { poolName } from '#domain/events';
import { HistoryImport } from './history-import.js';
import { PoolRegistry } from './pool-registry.js';

/** Buckets of one request; more come in several. */
export const MAX_HISTORY_BUCKETS = 5_000;
/** A bucket with more arrivals is a mistake. */
const MAX_ARRIVALS = 1e9;

const params = z.strictObject({ pool: poolName });
const name = z
  .string()
  .min(1)
  .max(60)
  .describe('Names what is brought in; pieces of one name follow each other in time.');
const timeMs = z.int().min(0).max(4_102_444_800_000).describe('Epoch ms.');

const piece = z
  .strictObject({
    name,
    fromMs: timeMs,
    toMs: timeMs,
    buckets: z
      .array(z.strictObject({ startMs: timeMs, arrivals: z.int().min(0).max(MAX_ARRIVALS) }))
      .max(MAX_HISTORY_BUCKETS)
      .describe('In order of time; those without arrivals may be left out.'),
    isLast: z.boolean().default(false).describe('Forecasts shall learn from the past again.'),
  })
  .refine(({ fromMs, toMs }) => fromMs < toMs, { path: ['toMs'], message: 'after fromMs' })
  .refine(
    ({ fromMs, toMs, buckets }) => {
      const starts = [fromMs - 1, ...buckets.map(({ startMs }) => startMs), toMs];
      return starts.every((startMs, i) => i === 0 || startMs > starts[i - 1]!);
    },
    { path: ['buckets'], message: 'in order, within fromMs and toMs' },
  );
type Piece = z.output<typeof piece>;

const standingQuery = z.strictObject({ name });
const standing = z.object({
  bucketS: z.int(),
  /** Up to here this history is in. */
  includedToMs: z.int().nullable(),
  /** Start of the first bucket behind it that the pool has. */
  nextMs: z.int().nullable(),
});

export const HISTORY_ROUTES = {
  standing: {
    method: 'GET',
    path: '/v1/pools/:pool/history',
    summary: 'How far a history has been brought in, and where other demand begins',
    scope: 'events:write',
    params,
    query: standingQuery,
    response: standing,
    refusals: { 404: 'No such pool.' },
  },
  take: {
    method: 'POST',
    path: '/v1/pools/:pool/history',
    summary: 'Brings in a piece of a pool’s past: what arrived per bucket',
    scope: 'events:write',
    params,
    body: piece,
    response: z.object({ includedToMs: z.int() }),
    refusals: {
      404: 'No such pool.',
      409: 'A part of it is there already.',
      503: 'Not in the table yet; send the same piece again.',
    },
  },
} as const satisfies Record<string, Route>;

@Controller()
export class HistoryController {
  constructor(
    private readonly history: HistoryImport,
    private readonly pools: PoolRegistry,
  ) {}

  @Endpoint(HISTORY_ROUTES.standing)
  async standing(
    @FromParams(params) { pool }: z.output<typeof params>,
    @FromQuery(standingQuery) query: z.output<typeof standingQuery>,
  ): Promise<z.output<typeof standing>> {
    await this.mustKnow(pool);
    const { bucketS, includedToMs = null, nextMs = null } = await this.history.standing({ pool, ...query });
    return { bucketS, includedToMs, nextMs };
  }

  @Endpoint(HISTORY_ROUTES.take)
  async take(
    @FromParams(params) { pool }: z.output<typeof params>,
    @FromBody(piece) body: Piece,
  ): Promise<{ includedToMs: number }> {
    await this.mustKnow(pool);
    this.mustBeWhole(pool, body);
    const taken = await this.history.take({ pool, ...body });
    if (taken.outcome === 'included') return { includedToMs: taken.toMs };
    if (taken.outcome === 'overlaps') throw overlaps(body, taken.toMs);
    throw problem(503, {
      name: 'history-pending',
      detail: 'history: must be in the table within seconds, is not yet',
      hint: 'send the same piece again: it counts once',
      headers: { 'retry-after': '5' },
    });
  }

  private async mustKnow(pool: string): Promise<void> {
    if (this.pools.knows(pool)) return;
    // Its policy may have been made a moment ago.
    await this.pools.refresh();
    if (this.pools.knows(pool)) return;
    throw problem(404, {
      name: 'unknown-pool',
      detail: `pool: must be known, got ${pool}`,
      hint: 'name it in `pools` of the configuration, or PUT /v1/policies/<pool>',
    });
  }

  private mustBeWhole(pool: string, { fromMs, toMs, buckets }: Piece): void {
    const { bucketS } = this.pools.settingsOf(pool);
    const times = [fromMs, toMs, ...buckets.map(({ startMs }) => startMs)];
    const odd = times.find((atMs) => atMs % (bucketS * 1000) !== 0);
    if (odd === undefined) return;
    throw problem(422, {
      name: 'invalid-input',
      detail: `body: times must be multiples of the pool's bucket of ${bucketS} s, got ${odd}`,
    });
  }
}

function overlaps({ name: of }: Piece, toMs: number) {
  return problem(409, {
    name: 'history-overlaps',
    detail: `history ${of}: must begin where it ended, is in up to ${new Date(toMs).toISOString()}`,
    hint: 'begin there, or give it another name',
  });
}
