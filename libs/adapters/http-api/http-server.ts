import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkAccess, type VerifyToken } from './access-check.js';
import { boundBodies } from './body-room.js';
import { ProblemFilter, sendProblem, type UnexpectedFailure } from './problem-filter.js';
import { addressProblem, answerClientError, MAX_PARAMETER_CHARS } from './protocol-errors.js';
import { keyOf, type Route } from './route-table.js';
import type { PendingSignatures, ProofOf } from './sender-proof.js';

/** At a stop a connection that is in use may be so for this long, ms. */
const STOP_WITHIN_MS = 5_000;
const STOP_CHECK_MS = 20;
/** A caller that sends its request slower than this is cut off, ms. */
const REQUEST_DEADLINE_MS = 30_000;

/**
 * Fastify for a control-plane API; for `NestFactory.create(module, adapter, { bodyParser: false })`. `onProblem` hears of
 * the requests that are refused before there is a route, by the status of the problem they get.
 */
export function apiAdapter(given: {
  bodyLimitBytes: number;
  onProblem?: (status: number) => void;
}): FastifyAdapter {
  const { bodyLimitBytes, onProblem = () => undefined } = given;
  return new FastifyAdapter({
    bodyLimit: bodyLimitBytes,
    frameworkErrors: (error: FastifyError, _request: FastifyRequest, reply: FastifyReply) => {
      const answer = addressProblem(error.code);
      onProblem(answer.getStatus());
      sendProblem(reply, answer);
    },
    clientErrorHandler: (error, socket) => {
      const status = answerClientError(error, socket);
      if (status !== undefined) onProblem(status);
    },
    requestTimeout: REQUEST_DEADLINE_MS,
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARS },
    // See closeConnections: this alone leaves those that are in use when the stop begins.
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
    /** What senders may bring instead of a token, on routes with `proof`. */
    proofOf?: ProofOf;
    onUnexpected: (failure: UnexpectedFailure) => void;
    /** Every token that is refused: see {@link checkAccess}. */
    onTokenRefused?: (reason: string) => void;
    /** Every answer that is a problem, by its status. */
    onProblem?: (status: number) => void;
    /** Of the bodies of all requests that are not answered yet; default 32 MiB. */
    maxBodiesBytes?: number;
  },
): void {
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  const signatures = checkAccess(fastify, given);
  // After it: strangers take no room, or that of strangers.
  boundBodies(fastify, signatures, given.maxBodiesBytes);
  acceptOnlyJson(fastify, given.routes, signatures);
  closeConnections(fastify);
  app.useGlobalFilters(new ProblemFilter(given.onUnexpected, given.onProblem ?? (() => undefined)));
}

/** Fastify would also take text/plain; a body that no schema can check is refused with 415 instead. */
function acceptOnlyJson(
  fastify: FastifyInstance,
  routes: readonly Route[],
  signatures: PendingSignatures,
): void {
  const types = new Set(['application/json', ...routes.flatMap((route) => route.accepts ?? [])]);
  fastify.removeAllContentTypeParsers();
  // Keys named __proto__ or constructor are refused: copied into an object, they would change its prototype.
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  const takesBody = new Set(routes.filter(({ body }) => body !== undefined).map(keyOf));
  fastify.addContentTypeParser([...types], { parseAs: 'string' }, (request, body, done) => {
    const wrong = signatures.check(request, body as string);
    if (wrong !== undefined) return done(wrong);
    // Some clients name a media type whether there is a body or not.
    const isMissing = body === '' && !takesBody.has(`${request.method} ${request.routeOptions.url}`);
    if (isMissing) return done(null, undefined);
    void parseJson(request, body as string, done);
  });
}

/**
 * A stop must wait for no keep-alive connection: one whose request was at hand when it began has its answer and would then
 * wait for another request for more than a minute.
 */
function closeConnections(fastify: FastifyInstance): void {
  fastify.addHook('preClose', async () => {
    const { server } = fastify;
    const stopByMs = performance.now() + STOP_WITHIN_MS;
    const timer = setInterval(() => {
      if (performance.now() < stopByMs) server.closeIdleConnections();
      else server.closeAllConnections();
    }, STOP_CHECK_MS);
    server.once('close', () => clearInterval(timer));
  });
}
