import { Controller, Header, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Endpoint, type Route } from '#adapters/http-api';

const readiness = z.object({
  ready: z.boolean(),
  /** What is missing, one sentence each. */
  problems: z.array(z.string()),
});
export type Readiness = z.output<typeof readiness>;

export const SYSTEM_ROUTES = {
  healthz: {
    method: 'GET',
    path: '/healthz',
    summary: 'The process answers',
    scope: 'public',
    response: z.object({ ok: z.literal(true) }),
  },
  readyz: {
    method: 'GET',
    path: '/readyz',
    summary: 'Everything the process needs works; 503 with what is missing otherwise',
    scope: 'public',
    response: readiness,
    refusals: { 503: { description: 'Something is missing; the body says what.', response: readiness } },
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    summary: 'Prometheus metrics (docs/metrics.md)',
    scope: 'metrics:read',
    response: z.string(),
    produces: 'text/plain',
  },
  openapi: {
    method: 'GET',
    path: '/openapi.json',
    summary: 'This document',
    scope: 'openapi:read',
    response: z.record(z.string(), z.unknown()),
  },
} as const satisfies Record<string, Route>;

/** What the program tells about itself. */
export class SystemState {
  constructor(
    readonly readiness: () => Promise<Readiness>,
    readonly metrics: () => Promise<string>,
    readonly openApi: () => Record<string, unknown>,
  ) {}
}

@Controller()
export class SystemController {
  /** Anybody may ask, and the question goes on to the brokers: all who ask meanwhile get the same answer. */
  private asked: Promise<Readiness> | undefined;

  constructor(private readonly state: SystemState) {}

  @Endpoint(SYSTEM_ROUTES.healthz)
  healthz() {
    return { ok: true };
  }

  @Endpoint(SYSTEM_ROUTES.readyz)
  async readyz(@Res({ passthrough: true }) reply: FastifyReply): Promise<Readiness> {
    this.asked ??= this.state.readiness().finally(() => (this.asked = undefined));
    const answer = await this.asked;
    if (!answer.ready) void reply.status(503);
    return answer;
  }

  @Endpoint(SYSTEM_ROUTES.metrics)
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  metrics(): Promise<string> {
    return this.state.metrics();
  }

  @Endpoint(SYSTEM_ROUTES.openapi)
  openApi(): Record<string, unknown> {
    return this.state.openApi();
  }
}
