import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { errors, type Dispatcher } from 'undici';
import { EXECUTION_HEADERS, REPLY_HEADERS } from '#adapters/fleet';
import type { Place, Waiting } from '#domain/routing';
import type { ExecutionIdentity } from './execution-identity.js';
import { hasBody, requestHeaders, responseHeaders } from './forwarded-headers.js';
import { answerProblem, type Refusal } from './problem-answer.js';
import type { RouteOutcome } from './router-observer.js';
import type { RouterWorker } from './router-worker.js';

/** Workers asked for one request, the first included. Only one that could not be reached is followed by another. */
export const MAX_TRIES = 2;

/** What happens to a request that its pool must know. */
export interface RouteOwner {
  readonly pool: string;
  readonly closing: boolean;
  /** The worker could not be reached and nothing was sent. False: there is no other to try. */
  tryAnother(request: RoutedRequest): boolean;
  /** Called once per request. */
  ended(request: RoutedRequest, outcome: RouteOutcome, status: number): void;
}

/** A request as it came, and what was found out about it. */
export interface Arrival {
  request: IncomingMessage;
  response: ServerResponse;
  identity: ExecutionIdentity;
  /** For the worker: without the pool. */
  path: string;
  /** Epoch ms. */
  queuedAtMs: number;
  /** From arrival to the end of the answer. */
  deadlineMs: number;
  maxBodyBytes: number;
}

/**
 * One request from arrival to its one end. Its body stays in the caller's socket until a worker's connection takes it,
 * and flows through with backpressure on both sides: memory per request does not depend on its size.
 *
 *   in line ──sendTo──▶ connecting ──onRequestStart──▶ sent ──onResponseStart──▶ answering ──▶ ended(answered)
 *      │  ▲                 │                            │                          │
 *      │  └──tryAnother─────┤                            │                          │
 *      └─ rejected,         └─ upstream, malformed       └─ upstream (502)          ├─ upstream (answer cut off)
 *                                                                                   └─ worker-refused
 *         and from everywhere: deadline (504, or the answer cut off), client-gone
 */
export class RoutedRequest implements Dispatcher.DispatchHandler, Waiting<RouterWorker> {
  readonly identity: ExecutionIdentity;
  readonly queuedAtMs: number;
  readonly deadlineAtMs: number;
  place: Place<RoutedRequest> | undefined;
  worker: RouterWorker | undefined;
  avoid: RouterWorker | undefined;
  /** When the first worker was chosen, epoch ms. */
  handedAtMs: number | undefined;
  /** When the request went out on a connection: the worker has it. Epoch ms. */
  startedAtMs: number | undefined;
  private tries = 0;
  private hasEnded = false;
  private bodyBytes = 0;
  /** The worker reports the end of this execution. */
  private isReported = false;
  private body: PassThrough | undefined;
  private controller: Dispatcher.DispatchController | undefined;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly arrival: Arrival,
    private readonly owner: RouteOwner,
    private readonly nowMs: () => number,
  ) {
    this.identity = arrival.identity;
    this.queuedAtMs = arrival.queuedAtMs;
    this.deadlineAtMs = arrival.queuedAtMs + arrival.deadlineMs;
    this.timer = setTimeout(expire, arrival.deadlineMs, this);
    arrival.response.on('close', () => this.abandon('client-gone'));
  }

  sendTo(worker: RouterWorker): void {
    this.place = undefined;
    this.worker = worker;
    this.tries++;
    this.handedAtMs ??= Math.max(this.nowMs(), this.queuedAtMs);
    const { request, path } = this.arrival;
    if (hasBody(request)) this.body = bodyStream();
    const options = {
      path,
      method: request.method as Dispatcher.HttpMethod,
      headers: this.headers(),
      body: this.body ?? null,
    };
    worker.connections.dispatch(options, this);
  }

  /** Ends with a problem instead of a worker's answer, or in the middle of that. */
  refuse(outcome: RouteOutcome, refusal: Refusal): void {
    if (this.arrival.response.headersSent) return this.abandon(outcome);
    if (!this.end(outcome, refusal.status)) return;
    if (this.owner.closing) this.arrival.response.setHeader('connection', 'close');
    answerProblem(this.arrival.response, refusal);
  }

  expire(): void {
    const { deadlineMs } = this.arrival;
    const detail = `request: answered within ${deadlineMs} ms, got no answer`;
    this.refuse('deadline', { status: 504, name: 'deadline', detail });
  }

  refuseBody(): void {
    const detail = `body: at most ${this.arrival.maxBodyBytes} bytes, got more`;
    this.refuse('too-large', { status: 413, name: 'body-too-large', detail });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.hasEnded) {
      controller.abort(new Error('ended before it was sent'));
      return;
    }
    this.startedAtMs = Math.max(this.nowMs(), this.queuedAtMs);
    if (this.body === undefined) return;
    const { request, response } = this.arrival;
    // Whoever waits for a word before sending the body gets it now that somebody takes it.
    if (request.headers.expect !== undefined) response.writeContinue();
    request.on('data', this.countBody).pipe(this.body);
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Parameters<typeof responseHeaders>[0],
  ): void {
    // An interim answer is the worker's word to this router.
    if (status < 200 || this.hasEnded) return;
    const { response } = this.arrival;
    this.isReported = headers[REPLY_HEADERS.end] !== undefined;
    const forwarded = responseHeaders(headers);
    if (this.owner.closing) forwarded['connection'] = 'close';
    response.writeHead(status, forwarded);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { response } = this.arrival;
    if (this.hasEnded || response.write(chunk)) return;
    controller.pause();
    response.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    const { response } = this.arrival;
    // First the answer, then the next request for the slot.
    if (!this.hasEnded) response.end();
    this.end(this.isReported ? 'answered' : 'worker-refused', response.statusCode);
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.hasEnded) return;
    const sent = this.startedAtMs !== undefined;
    const { workerId } = this.worker as RouterWorker;
    if (!sent && isMalformed(error)) {
      this.refuse('malformed', { status: 400, name: 'malformed-request', detail: error.message });
    } else if (!sent && this.tries < MAX_TRIES && this.owner.tryAnother(this)) {
      this.body = undefined;
    } else {
      const detail = `worker ${workerId}: answers, got ${(error as NodeJS.ErrnoException).code ?? error.name}`;
      this.refuse('upstream', { status: 502, name: 'worker-failed', detail });
    }
  }

  /** Ends without an answer, or in the middle of one: only a closed connection says so. */
  private abandon(outcome: RouteOutcome): void {
    if (this.end(outcome, 0)) this.arrival.response.destroy();
  }

  /**
   * False: it had ended before. Lets the worker know when nobody waits for it any more, but does not wait until the
   * worker has heard it: the slot counts as free at once, and the worker's own short line takes the difference.
   */
  private end(outcome: RouteOutcome, status: number): boolean {
    if (this.hasEnded) return false;
    this.hasEnded = true;
    clearTimeout(this.timer);
    if (this.body !== undefined) this.dropBody(this.body);
    this.owner.ended(this, outcome, status);
    if (!isWhole(outcome)) this.controller?.abort(new Error(outcome));
    return true;
  }

  /** What the caller still sends is read and thrown away, so that its connection can be used again. */
  private dropBody(body: PassThrough): void {
    this.arrival.request.off('data', this.countBody).unpipe(body);
    this.arrival.request.resume();
  }

  private readonly countBody = (chunk: Buffer): void => {
    this.bodyBytes += chunk.length;
    if (this.bodyBytes > this.arrival.maxBodyBytes) this.refuseBody();
  };

  private headers(): string[] {
    const headers = requestHeaders(this.arrival.request);
    const { executionId, attempt, taskType } = this.identity;
    headers.push(EXECUTION_HEADERS.executionId, executionId);
    headers.push(EXECUTION_HEADERS.attempt, String(attempt));
    headers.push(EXECUTION_HEADERS.taskType, taskType);
    headers.push(EXECUTION_HEADERS.queuedAtMs, String(this.queuedAtMs));
    headers.push(EXECUTION_HEADERS.deadlineAtMs, String(this.deadlineAtMs));
    return headers;
  }
}

/** The worker's answer came, to its last byte. */
function isWhole(outcome: RouteOutcome): boolean {
  return outcome === 'answered' || outcome === 'worker-refused';
}

function expire(request: RoutedRequest): void {
  request.expire();
}

/**
 * Between the caller and undici, which destroys the body of a request that fails: that must not take the caller's
 * connection with it, nor what a second worker needs.
 */
function bodyStream(): PassThrough {
  const body = new PassThrough();
  body.on('error', () => undefined); // The request's own error says it.
  return body;
}

function isMalformed(error: Error): boolean {
  return error instanceof errors.InvalidArgumentError || error instanceof errors.NotSupportedError;
}
