import {
  createServer,
  validateHeaderValue,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { types } from 'node:util';
import type { EventSink } from '#adapters/event-sink';
import { READY_PATH, REPLY_HEADERS } from '#adapters/fleet/worker-protocol';
import type { Handler, HandlerResult } from '#sdk';
import { endEvent, startEvent, type ExecutionEnd } from './execution-events.js';
import { readExecution, type ExecutionRequest } from './execution-request.js';
import type { Handlers } from './handler-folder.js';
import { BODY_LIMITS, readBody, type BodyLimits, type ReceivedBody } from './request-body.js';
import { Slots } from './slots.js';

/** Handlers that run on although their execution was given up. With more of them the worker is of no use any more. */
const MAX_RUNAWAYS = 100;
/** Longer than a client keeps an idle connection, so that none is closed under a request that is on its way. */
const KEEP_ALIVE_MS = 65_000;
/** Twice what a router accepts (Node's default), which adds its own: the router must be the one that refuses. */
const MAX_HEADER_BYTES = 32_768;
const RETRY_AFTER_S = 1;
/**
 * A worker that leaves ends when nothing has come for this long, ms: its router chooses it no more, but what it had
 * sent before may still be on the way, and a busy router is late by some tens of milliseconds.
 */
export const LEAVING_QUIET_MS = 200;
/** An execution that is served for longer has its start told; a shorter one's end, which tells both, is soon enough, ms. */
export const START_TOLD_AFTER_MS = 1000;
/** After the last execution of a worker that leaves has ended, callers have this long to read their answers, ms. */
const FLUSH_MS = 1000;

/** Why an execution was given up before its handler answered; also the error class of its event. */
type GivenUp = 'deadline' | 'caller_gone' | 'drained';
const STATUS_OF_GIVEN_UP: Record<GivenUp, number> = { deadline: 504, caller_gone: 499, drained: 503 };

/** What is said to the caller and to the event log. */
interface Outcome {
  status: number;
  contentType?: string | undefined;
  body?: string | Uint8Array | undefined;
  /** Absent when completed. */
  errorClass?: string;
}

export interface ExecutionServerOptions {
  pool: string;
  workerId: string;
  slots: number;
  queueLimit: number;
  handlers: Handlers;
  bodyLimits?: Partial<BodyLimits>;
  sink: EventSink;
  nowMs: () => number;
  /** Too many handlers ignore their signal: the process ought to be replaced. */
  onOverrun: () => void;
  /** A handler's error, for the log. */
  onHandlerError: (failure: { executionId: string; error: unknown }) => void;
}

/**
 * Requests in, executions through a bounded number of slots, answers and events out.
 *
 *   request ─▶ headers ok? ─▶ place? ─▶ queue ─▶ slot: body, handler ─▶ answer + event
 *                 └─ 400        └─ 503     └──────────┴─ deadline 504, caller gone, drained 503,
 *                                                        body too slow 408 or too large 413: + event
 *
 * A request that gets 400 or 503 before it has a place was never this worker's: there is no event of it, and the answer
 * lacks the header that announces one, by which the router knows that it must report the end. The slot is free again at
 * the deadline, whatever the handler does; its signal is aborted.
 * An execution starts when its body is complete: the service time is the handler's alone.
 */
export class ExecutionServer {
  private readonly server: Server;
  private readonly slots: Slots;
  private readonly bodyLimits: BodyLimits;
  private readonly running = new Set<(why: GivenUp) => void>();
  private phase: 'serving' | 'draining' | 'left' = 'serving';
  private runaways = 0;
  /** Requests whose answer is not written to its end. */
  private owed = 0;
  /** Runs while leaving, anew from each request that comes or ends. */
  private quietTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: ExecutionServerOptions) {
    this.slots = new Slots(options);
    this.bodyLimits = { ...BODY_LIMITS, ...options.bodyLimits };
    const settings = { maxHeaderSize: MAX_HEADER_BYTES };
    this.server = createServer(settings, (request, reply) => void this.serve(request, reply));
    // Node's other bound, 1000 of them, would refuse what the router has just let pass; their bytes are bounded.
    this.server.maxHeadersCount = 0;
    this.server.keepAliveTimeout = KEEP_ALIVE_MS;
    // A body is read when its execution has a slot, which may take until the deadline: that one counts instead.
    this.server.requestTimeout = 0;
  }

  /** Listens on a free port of the loopback interface and returns it. */
  async listen(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.server.once('error', reject).listen(0, '127.0.0.1', resolve);
    await promise;
    return (this.server.address() as AddressInfo).port;
  }

  /**
   * Says that it leaves, and serves what still comes, each answer the last of its connection. Ends when it has been
   * quiet for {@link LEAVING_QUIET_MS}, at the latest after `withinMs`, when it gives up what it has. Resolves when the
   * answers have been read, or nobody reads them.
   */
  async drain(withinMs: number): Promise<void> {
    this.phase = 'draining';
    await this.quiet(LEAVING_QUIET_MS, withinMs);
    this.phase = 'left';
    this.giveUpAll();
    await this.quiet(0, FLUSH_MS);
    // Not earlier: Node takes a connection for idle while the end of its answer still waits to be written.
    this.server.close();
    this.server.closeAllConnections();
  }

  /** Resolves when no answer has been owed for `forMs`, at the latest after `withinMs`. */
  private async quiet(forMs: number, withinMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const patience = setTimeout(resolve, withinMs);
    this.quietTimer = setTimeout(() => this.owed === 0 && resolve(), forMs);
    await promise;
    clearTimeout(patience);
    clearTimeout(this.quietTimer);
    this.quietTimer = undefined;
  }

  private giveUpAll(): void {
    for (const giveUp of this.running) giveUp('drained');
  }

  private async serve(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    reply.setHeader(REPLY_HEADERS.workerId, this.options.workerId);
    if (request.url === READY_PATH) {
      return this.answer(reply, { status: this.phase === 'serving' ? 200 : 503 });
    }
    this.owe(reply);
    if (this.phase === 'left') return this.answerLater(reply, 'the worker is leaving');
    const read = readExecution(request.headers, this.options.nowMs());
    if (!read.ok) return this.answer(reply, problem(400, read.problem));
    const { execution } = read;
    const handler = this.options.handlers.of(execution.taskType);
    if (handler === undefined) {
      const rule = `task type: must have a handler, got ${execution.taskType}`;
      return this.end(execution, undefined, reply, {
        ...problem(404, rule),
        errorClass: 'unknown_task_type',
      });
    }
    if (execution.deadlineAtMs <= this.options.nowMs()) {
      return this.end(execution, undefined, reply, givenUp('deadline'));
    }
    await this.run({ execution, handler, request, reply });
  }

  private async run(job: Job): Promise<void> {
    const { execution, request, reply } = job;
    const ticket = this.slots.enter();
    if (ticket === undefined) return this.answerLater(reply, 'slots and queue of the worker are full');
    const giving = givingUp(execution.deadlineAtMs - this.options.nowMs(), reply);
    this.running.add(giving.giveUp);
    try {
      const turn = await Promise.race([ticket.turn, giving.up]);
      if (turn !== undefined) return this.end(execution, undefined, reply, givenUp(turn));
      const received = await Promise.race([readBody(request, this.bodyLimits, giving.signal), giving.up]);
      if (typeof received === 'string') return this.end(execution, undefined, reply, givenUp(received));
      if (!received.ok) return this.end(execution, undefined, reply, this.bodyRefused(received.why));
      // The router's clock may be ahead of ours by a little; nothing starts before it was queued.
      const startedAtMs = Math.max(this.options.nowMs(), execution.queuedAtMs);
      const work = this.work(job, received.body, giving.signal);
      const untold = setTimeout(() => this.tellStart(execution, startedAtMs), START_TOLD_AFTER_MS);
      const outcome = await Promise.race([work, giving.up]);
      clearTimeout(untold);
      if (typeof outcome === 'string') this.watchRunaway(work);
      this.end(execution, startedAtMs, reply, typeof outcome === 'string' ? givenUp(outcome) : outcome);
    } finally {
      ticket.leave();
      giving.done();
      this.running.delete(giving.giveUp);
    }
  }

  /** Runs the handler. Never rejects. */
  private async work(
    { execution, handler, request }: Job,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<Outcome> {
    try {
      const { executionId, taskType, attempt, deadlineAtMs } = execution;
      const { method = 'GET', url: path = '/' } = request;
      const contentType = request.headers['content-type'];
      const { workerId } = this.options;
      const task = {
        executionId,
        taskType,
        attempt,
        deadlineAtMs,
        method,
        path,
        contentType,
        body,
        signal,
        workerId,
      };
      return outcomeOf(await handler(task));
    } catch (error) {
      if (!signal.aborted) this.options.onHandlerError({ executionId: execution.executionId, error });
      // Not the error's message: it is the handler's secret, and the log has it.
      return { ...problem(500, 'the handler failed'), errorClass: classOf(error) };
    }
  }

  private bodyRefused(why: BodyRefusal): Outcome {
    const { bytes, totalMs, silenceMs } = this.bodyLimits;
    if (why === 'given-up') return givenUp('caller_gone');
    if (why === 'too-large') {
      return { ...problem(413, `body: must have at most ${bytes} bytes`), errorClass: 'body_too_large' };
    }
    const rule = `body: must come within ${totalMs} ms, without a pause of ${silenceMs} ms`;
    return { ...problem(408, rule), errorClass: 'body_too_slow' };
  }

  private tellStart(execution: ExecutionRequest, startedAtMs: number): void {
    this.options.sink.emit(startEvent(this.options, execution, startedAtMs));
  }

  private end(
    execution: ExecutionRequest,
    startedAtMs: number | undefined,
    reply: ServerResponse,
    outcome: Outcome,
  ): void {
    const { options } = this;
    const endedAtMs = Math.max(options.nowMs(), startedAtMs ?? execution.queuedAtMs);
    if (startedAtMs !== undefined) {
      reply.setHeader(REPLY_HEADERS.serviceMs, (endedAtMs - startedAtMs).toFixed(3));
    }
    const { errorClass } = outcome;
    const phase: ExecutionEnd['phase'] = errorClass === undefined ? 'completed' : 'failed';
    reply.setHeader(REPLY_HEADERS.end, phase);
    this.answer(reply, outcome);
    options.sink.emit(endEvent(options, execution, { phase, startedAtMs, endedAtMs, errorClass }));
  }

  private answerLater(reply: ServerResponse, why: string): void {
    reply.setHeader('retry-after', RETRY_AFTER_S);
    this.answer(reply, problem(503, why));
  }

  private answer(reply: ServerResponse, { status, contentType, body }: Outcome): void {
    if (reply.destroyed) return;
    if (contentType !== undefined) reply.setHeader('content-type', contentType);
    if (this.phase !== 'serving') reply.setHeader('connection', 'close');
    reply.statusCode = status;
    reply.end(body);
  }

  private owe(reply: ServerResponse): void {
    this.owed += 1;
    this.quietTimer?.refresh();
    reply.once('close', () => {
      this.owed -= 1;
      this.quietTimer?.refresh();
    });
  }

  private watchRunaway(work: Promise<Outcome>): void {
    this.runaways += 1;
    if (this.runaways > MAX_RUNAWAYS + this.options.slots) this.options.onOverrun();
    void work.then(() => (this.runaways -= 1));
  }
}

type BodyRefusal = Extract<ReceivedBody, { ok: false }>['why'];

interface Job {
  execution: ExecutionRequest;
  handler: Handler;
  request: IncomingMessage;
  reply: ServerResponse;
}

/** One place where an execution can be given up, for whichever reason comes first. */
function givingUp(deadlineInMs: number, reply: ServerResponse) {
  const aborting = new AbortController();
  const { promise: up, resolve } = Promise.withResolvers<GivenUp>();
  const giveUp = (why: GivenUp) => {
    resolve(why);
    aborting.abort(new Error(`execution given up: ${why}`));
  };
  const timer = setTimeout(() => giveUp('deadline'), deadlineInMs);
  const onClose = () => giveUp('caller_gone');
  reply.once('close', onClose);
  const done = () => {
    clearTimeout(timer);
    reply.off('close', onClose);
  };
  return { up, signal: aborting.signal, giveUp, done };
}

function outcomeOf(result: HandlerResult | undefined): Outcome {
  const { status = result?.body === undefined ? 204 : 200, contentType, body } = result ?? {};
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new RangeError(`handler: status must be an integer from 200 to 599, got ${status}`);
  }
  if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)) {
    throw new TypeError(`handler: body must be a string or bytes, got ${typeof body}`);
  }
  if (contentType !== undefined) validateHeaderValue('content-type', contentType);
  return { status, contentType, body, ...(status >= 500 && { errorClass: `status_${status}` }) };
}

function givenUp(why: GivenUp): Outcome {
  return { ...problem(STATUS_OF_GIVEN_UP[why], `the execution was given up: ${why}`), errorClass: why };
}

function problem(status: number, detail: string): Outcome {
  return {
    status,
    contentType: 'application/problem+json',
    body: JSON.stringify({ type: 'about:blank', status, detail }),
  };
}

function classOf(error: unknown): string {
  return types.isNativeError(error) ? String(error.name) : typeof error;
}
