import { Controller, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import {
  FleetClosed,
  MAX_FOLLOWERS,
  ServedFleet,
  UnknownPool,
  type changesQuery,
  type orderBody,
} from '#adapters/fleet';
import { Endpoint, FromBody, FromParams, FromQuery, problem } from '#adapters/http-api';
import { FLEET_ROUTES as ROUTES, poolParams } from './routes.js';

@Controller()
export class FleetController {
  constructor(private readonly fleet: ServedFleet) {}

  @Endpoint(ROUTES.observe)
  async observe() {
    return { items: await this.fleet.observe() };
  }

  @Endpoint(ROUTES.scale)
  async scale(
    @FromParams(poolParams) { pool }: z.output<typeof poolParams>,
    @FromBody(ROUTES.scale.body) { desired }: z.output<typeof orderBody>,
  ): Promise<void> {
    try {
      await this.fleet.scale({ pool, desired });
    } catch (error) {
      throw problemOf(error as Error);
    }
  }

  @Endpoint(ROUTES.changes)
  async changes(
    @FromQuery(ROUTES.changes.query) question: z.output<typeof changesQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const brokenOff = new AbortController();
    reply.raw.once('close', () => brokenOff.abort());
    const changes = await this.fleet.changes(question, brokenOff.signal);
    if (changes === 'closed') throw away('fleet: must run, got one that is stopping');
    if (changes === 'full') throw away(`fleet: at most ${MAX_FOLLOWERS} followers, got one more`);
    return changes;
  }
}

function problemOf(error: Error): Error {
  if (error instanceof UnknownPool) return problem(404, { name: 'unknown-pool', detail: error.message });
  if (error instanceof FleetClosed) return away(error.message);
  return error;
}

function away(detail: string) {
  return problem(503, { name: 'fleet-away', detail, headers: { 'retry-after': '1' } });
}
