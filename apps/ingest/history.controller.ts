import { Controller } from '@nestjs/common';
import { z } from 'zod';
import { Endpoint, FromBody, FromParams, FromQuery, problem, type Route } from '#adapters/http-api';
import { poolName } from '#domain/events';
import { notTakenProblem } from './event-append.js';
import { HistoryImport, MAX_HISTORIES, MAX_HISTORY_BUCKETS, type HistoryRoom } from './history-import.js';
import { PoolRegistry } from './pool-registry.js';

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
      .describe('In order of time; what is left out is not known.'),
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
  bucketS: z.int().min(1),
  fromMs: z.int().describe('What is older is not kept in buckets of this length.'),
  toMs: z.int().describe('Here other demand of the pool begins, or the bucket that is still open.'),
  includedToMs: z.int().nullable().describe('Up to here this history is in.'),
});

export const HISTORY_ROUTES = {
  standing: {
    method: 'GET',
    path: '/v1/pools/:pool/history',
    summary: 'How far a history has been brought in, and what can be',
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
      409: 'A part of it is in already, or it lies where nothing can be brought in, or there are too many.',
      503: 'Not in the table yet, or cannot be written now; send the same piece again after Retry-After.',
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
    const { includedToMs = null, ...room } = await this.history.standing({ pool, ...query });
    return { ...room, includedToMs };
  }

  @Endpoint(HISTORY_ROUTES.take)
  async take(
    @FromParams(params) { pool }: z.output<typeof params>,
    @FromBody(piece) body: Piece,
  ): Promise<{ includedToMs: number }> {
    await this.mustKnow(pool);
    this.mustBeWhole(pool, body);
    const taken = await this.history.take({ pool, ...body });
    switch (taken.outcome) {
      case 'included':
        return { includedToMs: taken.toMs };
      case 'overlaps':
        throw overlaps(body, taken.toMs);
      case 'outside':
        throw outside(body, taken.room);
      case 'too-many':
        throw tooMany(body);
      case 'pending':
        throw pending();
      case 'overloaded':
      case 'unavailable':
        throw notTakenProblem(taken.outcome);
    }
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
    detail: `history ${of}: must begin where it ended, is in up to ${isoOf(toMs)}`,
    hint: 'begin there, or give it another name',
  });
}

function outside({ name: of, ...piece }: Piece, room: HistoryRoom) {
  const [rule, actual] = [room, piece].map(({ fromMs, toMs }) => `${isoOf(fromMs)} to ${isoOf(toMs)}`);
  return problem(409, {
    name: 'history-outside',
    detail: `history ${of}: must lie within ${rule}, got ${actual}`,
    hint: 'what is older is not kept in buckets of this length; at the end other demand of the pool begins, or now',
  });
}

function tooMany({ name: of }: Piece) {
  return problem(409, {
    name: 'too-many-histories',
    detail: `history ${of}: must be one of at most ${MAX_HISTORIES} of a pool, got one more`,
    hint: 'go on with one that is there',
  });
}

function pending() {
  return problem(503, {
    name: 'history-pending',
    detail: 'history: must be in the table within seconds, is not yet, or another one of the pool is not',
    hint: 'send the same piece again: it counts once',
    headers: { 'retry-after': '5' },
  });
}

function isoOf(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
