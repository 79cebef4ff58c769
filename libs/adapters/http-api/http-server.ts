import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { checkAccess, type VerifyToken } from './access-check.js';
import { ProblemFilter, type UnexpectedFailure } from './problem-filter.js';
import type { Route } from './route-table.js';

/** A caller that sends its request slower than this is cut off, ms. */
const REQUEST_DEADLINE_MS = 30_000;
const MAX_PARAMETER_CHARS = 200;

/** Fastify for a control-plane API; for `NestFactory.create(module, adapter, { bodyParser: false })`. */
export function apiAdapter(given: { bodyLimitBytes: number }): FastifyAdapter {
  return new FastifyAdapter({
    bodyLimit: given.bodyLimitBytes,
    requestTimeout: REQUEST_DEADLINE_MS,
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARS },
    // A stop must not wait for idle keep-alive connections of a scraper.
    forceCloseConnections: 'idle',
  });
}

/**
 * Gives an application the API's rules: only JSON bodies, access by the route table, problems for every error. Call
 * it once, before `app.init()` or `app.listen()`.
 */
export function configureApi(
  app: NestFastifyApplication,
  given: {
    routes: readonly Route[];
    verify: VerifyToken;
    onUnexpected: (failure: UnexpectedFailure) => void;
    /** Every answer that is a problem, by its status. */
    onProblem?: (status: number) => void;
  },
): void {
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  acceptOnlyJson(fastify, given.routes);
  checkAccess(fastify, given);
  app.useGlobalFilters(new ProblemFilter(given.onUnexpected, given.onProblem ?? (() => undefined)));
}

/** Fastify would also take text/plain; a body that no schema can check is refused with 415 instead. */
function acceptOnlyJson(fastify: FastifyInstance, routes: readonly Route[]): void {
  const types = new Set(['application/json', ...routes.flatMap((route) => route.accepts ?? [])]);
  fastify.removeAllContentTypeParsers();
  // Keys named __proto__ or constructor are refused: copied into an object, they would change its prototype.
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser([...types], { parseAs: 'string' }, parseJson);
}
