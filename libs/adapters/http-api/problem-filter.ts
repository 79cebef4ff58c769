import { HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { problem, ProblemException, PROBLEM_MEDIA_TYPE } from './problem.js';

/** A request that failed for no reason of the caller's. */
export interface UnexpectedFailure {
  error: unknown;
  method: string;
  /** The route's pattern, not the address: an address may hold what belongs in no log. */
  route: string;
}

/**
 * Makes every error answer an RFC 9457 problem. What is not an HTTP error is a bug or a broken dependency: the caller
 * sees 500 without its text, the log sees all of it.
 */
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly onUnexpected: (failure: UnexpectedFailure) => void,
    private readonly onProblem: (status: number) => void,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const answer = problemOf(error);
    this.onProblem(answer.getStatus());
    if (answer.getStatus() >= 500 && !(error instanceof ProblemException)) {
      this.onUnexpected({ error, method: request.method, route: request.routeOptions?.url ?? 'unknown' });
    }
    // Headers are out: the answer cannot become a problem any more.
    if (reply.sent || reply.raw.headersSent) return;
    sendProblem(reply, answer);
  }
}

export function sendProblem(reply: FastifyReply, answer: ProblemException): void {
  void reply
    .status(answer.getStatus())
    .headers(answer.headers)
    .header('content-type', `${PROBLEM_MEDIA_TYPE}; charset=utf-8`)
    .send(JSON.stringify(answer.problem));
}

/** SQLSTATE class 53, insufficient resources: the disk is full, for instance. It passes, so it is no 500. */
const NO_RESOURCES = /^53[0-9A-Z]{3}$/;
/** Classes 08 and 57P, the server is away or restarts; 57014 and 55P03, it did not get to it in time. It passes. */
const UNAVAILABLE = /^(08[0-9A-Z]{3}|57P0[0-9]|57014|55P03)$/;
const RETRY_AFTER_S = 10;
/** The connection was lost while the body was on its way. */
const CALLER_GONE = 'ECONNRESET';

function problemOf(error: unknown): ProblemException {
  if (error instanceof ProblemException) return error;
  const { code = '' } = (error ?? {}) as { code?: string };
  if (NO_RESOURCES.test(code)) return noResources();
  if (UNAVAILABLE.test(code)) return unavailable();
  if (code === CALLER_GONE && isOfCaller(error)) return callerGone();
  if (!(error instanceof HttpException) || error.getStatus() >= 500) return problem(500);
  return refusalOf(error);
}

/** Fastify marks what the caller is to blame for with a status. */
function isOfCaller(error: unknown): boolean {
  return (error as { statusCode?: number }).statusCode === 400;
}

function callerGone(): ProblemException {
  return problem(400, {
    name: 'malformed-request',
    detail: 'body: must arrive as a whole, its connection was lost',
  });
}

function noResources(): ProblemException {
  return problem(503, {
    name: 'no-resources',
    detail: 'store: must have room to write, got none',
    hint: '/readyz says what is missing',
    headers: { 'retry-after': String(RETRY_AFTER_S) },
  });
}

function unavailable(): ProblemException {
  return problem(503, {
    name: 'store-unavailable',
    detail: 'store: must answer in time, did not',
    hint: '/readyz says what is missing; what was to be changed may have been changed',
    headers: { 'retry-after': String(RETRY_AFTER_S) },
  });
}

/** Refusals of Fastify (size, media type, JSON syntax …), which Nest hands over with the original as `cause`. */
function refusalOf(error: HttpException): ProblemException {
  const status = error.getStatus();
  const code = (error.cause as { code?: string } | undefined)?.code;
  const name = { 400: 'malformed-request', 413: 'body-too-large', 415: 'unsupported-media-type' }[status];
  const detail = code === 'FST_ERR_CTP_EMPTY_JSON_BODY' ? 'body: must be JSON, got nothing' : error.message;
  return problem(status, { ...(name !== undefined && { name }), detail });
}
