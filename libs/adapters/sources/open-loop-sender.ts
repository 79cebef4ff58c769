import { setTimeout as sleep } from 'node:timers/promises';
import { errors, Pool, type Dispatcher } from 'undici';
import type { RequestTally } from './request-tally.js';

/** Timers of Node are exact to about a millisecond; requests due within the next one go out together. */
const TICK_MS = 2;
/** After a stop, requests in flight may end for this long; then they are aborted and counted so. */
const STOP_GRACE_MS = 500;
const CONNECT_TIMEOUT_MS = 2000;

export interface OpenLoopTarget {
  /** Full address of every request. */
  url: string;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  /** Counted as `deadline` when the answer is not complete this long after it was sent, ms. */
  deadlineMs: number;
  /** Bound of requests (and connections) in flight; a request beyond it is skipped and counted. */
  maxInFlight: number;
  /** Gives up when every request failed to connect for this long, ms; undefined = never. */
  unreachableAfterMs?: number | undefined;
}

interface OpenRequest {
  plannedMs: number;
  deadlineMs: number;
  controller: Dispatcher.DispatchController | undefined;
  ended: boolean;
}

/**
 * Sends requests at given times, whatever the answers do (open loop): a slow answer never delays the next request,
 * and latency counts from the planned time, so that a stall is seen by everyone who would have waited in it
 * (Tene, "How NOT to measure latency": coordinated omission).
 */
export class OpenLoopSender {
  private readonly pool: Pool;
  private readonly request: Dispatcher.DispatchOptions;
  /** In order of their deadline, because all have the same patience: the first is the first to expire. */
  private readonly open = new Set<OpenRequest>();
  private failingSinceMs: number | undefined;
  private stopped = false;
  private readonly startMs: number;

  constructor(
    private readonly target: OpenLoopTarget,
    private readonly tally: RequestTally,
    private readonly nowMs: () => number,
  ) {
    const { origin, pathname, search } = new URL(target.url);
    this.pool = new Pool(origin, {
      connections: target.maxInFlight,
      pipelining: 1,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.request = { path: pathname + search, method: target.method, headers: target.headers };
    this.startMs = nowMs();
  }

  /** Sends until the times end, `stop()`, or the target stays unreachable; then waits for the open requests. */
  async run(arrivalsMs: Iterable<number>): Promise<'finished' | 'stopped' | 'unreachable'> {
    const arrivals = arrivalsMs[Symbol.iterator]();
    let next = arrivals.next();
    while (next.done !== true && !this.stopped && !this.unreachable()) {
      const now = this.elapsedMs();
      while (next.done !== true && next.value <= now) {
        this.sendOrSkip(next.value);
        next = arrivals.next();
      }
      this.expire();
      await sleep(TICK_MS);
    }
    const outcome = this.unreachable() ? 'unreachable' : this.stopped ? 'stopped' : 'finished';
    await this.drain(outcome === 'finished' ? this.target.deadlineMs : STOP_GRACE_MS);
    return outcome;
  }

  /** No further request is sent; `run` ends within {@link STOP_GRACE_MS}. */
  stop(): void {
    this.stopped = true;
  }

  elapsedMs(): number {
    return this.nowMs() - this.startMs;
  }

  private sendOrSkip(plannedMs: number): void {
    const latenessMs = this.elapsedMs() - plannedMs;
    if (this.tally.open >= this.target.maxInFlight || latenessMs > this.target.deadlineMs) {
      this.tally.skip({ plannedMs });
      return;
    }
    this.tally.started({ latenessMs });
    const request: OpenRequest = {
      plannedMs,
      deadlineMs: this.elapsedMs() + this.target.deadlineMs,
      controller: undefined,
      ended: false,
    };
    this.open.add(request);
    this.pool.dispatch(this.request, this.handlerOf(request));
  }

  private handlerOf(request: OpenRequest): Dispatcher.DispatchHandler {
    let status = 0;
    return {
      onRequestStart: (controller) => {
        request.controller = controller;
        if (request.ended) controller.abort(new Error('ended before it was sent'));
      },
      onResponseStart: (_, statusCode) => {
        status = statusCode;
      },
      onResponseData: () => {},
      onResponseEnd: () => {
        if (this.end(request)) {
          this.tally.answered({ status, ...this.timesOf(request) });
        }
        this.failingSinceMs = undefined;
      },
      onResponseError: (_, error) => {
        if (!this.end(request)) return;
        this.tally.failed({ code: codeOf(error), ...this.timesOf(request) });
        if (isUnreachable(error)) this.failingSinceMs ??= this.elapsedMs();
      },
    };
  }

  /** Returns false when the request had ended already: each is counted once. */
  private end(request: OpenRequest): boolean {
    if (request.ended) return false;
    request.ended = true;
    this.open.delete(request);
    return true;
  }

  private expire(): void {
    const now = this.elapsedMs();
    for (const request of this.open) {
      if (request.deadlineMs > now) return;
      this.abandon(request, 'deadline');
    }
  }

  private abandon(request: OpenRequest, code: string): void {
    this.end(request);
    this.tally.failed({ code, ...this.timesOf(request) });
    request.controller?.abort(new Error(code));
  }

  private timesOf({ plannedMs }: OpenRequest): { plannedMs: number; latencyMs: number } {
    return { plannedMs, latencyMs: this.elapsedMs() - plannedMs };
  }

  private unreachable(): boolean {
    const { unreachableAfterMs } = this.target;
    if (unreachableAfterMs === undefined || this.failingSinceMs === undefined) return false;
    return this.elapsedMs() - this.failingSinceMs > unreachableAfterMs;
  }

  private async drain(patienceMs: number): Promise<void> {
    const endMs = this.elapsedMs() + patienceMs;
    while (this.open.size > 0 && this.elapsedMs() < endMs) {
      // A stop during the last answers shortens the wait.
      if (this.stopped && this.elapsedMs() < endMs - STOP_GRACE_MS) break;
      this.expire();
      await sleep(TICK_MS);
    }
    // A late wake-up can pass the end of the wait and a deadline at once: that request met its deadline.
    this.expire();
    for (const request of this.open) this.abandon(request, 'aborted');
    await this.pool.destroy();
  }
}

function codeOf(error: Error): string {
  if (error instanceof errors.ConnectTimeoutError) return 'connect-timeout';
  if (error instanceof errors.SocketError) return 'connection-lost';
  return (error as NodeJS.ErrnoException).code ?? error.name;
}

function isUnreachable(error: Error): boolean {
  return ['ECONNREFUSED', 'connect-timeout', 'ENOTFOUND', 'EHOSTUNREACH'].includes(codeOf(error));
}
