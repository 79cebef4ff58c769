import type { EventSink } from '#adapters/event-sink';
import { eventIdOf, type FleetMember } from '#adapters/fleet';
import type { ExecutionEvent, Phase } from '#domain/events';
import { PoolQueue } from '#domain/routing';
import { saidBodyBytes } from './forwarded-headers.js';
import { RoutedRequest, type Arrival, type RouteOwner } from './routed-request.js';
import type { RouteOutcome, RouterObserver, RouteSnapshot } from './router-observer.js';
import { RouterWorker } from './router-worker.js';

export interface PoolRouteOptions {
  pool: string;
  /** Requests that may wait; more get 503. */
  queueLimit: number;
  sink: EventSink;
  observer: RouterObserver;
  nowMs: () => number;
  /** [0, 1) */
  random: () => number;
}

/** The requests and the workers of one pool: admits, hands out, and tells how each request ended. */
export class PoolRoute implements RouteOwner {
  readonly pool: string;
  closing = false;
  private readonly queue: PoolQueue<RoutedRequest, RouterWorker>;
  private workers: RouterWorker[] = [];
  private readonly source: string;
  private open = 0;
  private idle: (() => void) | undefined;

  constructor(private readonly options: PoolRouteOptions) {
    this.pool = options.pool;
    this.source = `/router/${options.pool}`;
    this.queue = new PoolQueue(options.queueLimit);
  }

  /** All members of the pool. Those that drain or are gone get no more requests and keep what they have. */
  setMembers(members: readonly FleetMember[]): void {
    const before = this.workers;
    this.workers = members.map((member) => before.find((w) => w.is(member)) ?? new RouterWorker(member));
    const ready = this.workers.filter((_, i) => members[i]?.state === 'ready');
    for (const worker of [...before, ...this.workers]) if (!ready.includes(worker)) void worker.close();
    this.queue.setReady(ready);
    this.handOut();
  }

  take(arrival: Arrival): void {
    const { sink, observer, nowMs } = this.options;
    const request = new RoutedRequest(arrival, this, nowMs);
    this.open++;
    observer.arrived(this.pool);
    sink.emit(this.event(request, 'queued', {}));
    if (this.closing) return refuse(request, 'stopping', 'router: runs, got a request while stopping');
    if (saidBodyBytes(arrival.request) > arrival.maxBodyBytes) return request.refuseBody();
    const admission = this.queue.admit(request);
    if (admission.kind === 'waits') {
      request.place = admission.place;
      this.handOut();
    } else if (admission.kind === 'no-worker') {
      refuse(request, 'no-worker', `pool ${this.pool}: at least 1 ready worker, got 0`);
    } else {
      const { queueLimit } = this.options;
      refuse(
        request,
        'queue-full',
        `pool ${this.pool}: at most ${queueLimit} waiting requests, got one more`,
      );
    }
  }

  tryAnother(request: RoutedRequest): boolean {
    const failed = request.worker as RouterWorker;
    if (!this.queue.workers.some((worker) => worker !== failed)) return false;
    this.options.observer.retried(this.pool);
    this.giveBack(request);
    request.avoid = failed;
    request.place = this.queue.again(request);
    // Not from within the failed try: its connection is still being cleared away.
    setImmediate(() => this.handOut());
    return true;
  }

  ended(request: RoutedRequest, outcome: RouteOutcome, status: number): void {
    const { observer, nowMs } = this.options;
    // A clock that was set back must not make an event that nobody accepts.
    const endedAtMs = Math.max(nowMs(), request.startedAtMs ?? request.queuedAtMs);
    if (request.place !== undefined) this.queue.withdraw(request.place);
    if (outcome !== 'answered') this.tellFailure(request, outcome, endedAtMs);
    observer.requestEnded({
      pool: this.pool,
      executionId: request.identity.executionId,
      outcome,
      status,
      responseMs: endedAtMs - request.queuedAtMs,
      waitMs: request.handedAtMs === undefined ? undefined : request.handedAtMs - request.queuedAtMs,
    });
    if (request.worker !== undefined) {
      this.giveBack(request);
      this.handOut();
    }
    if (--this.open === 0) this.idle?.();
  }

  snapshot(): RouteSnapshot {
    const ready = this.queue.workers;
    return {
      waiting: this.queue.waiting,
      inFlight: this.queue.inFlight,
      readyWorkers: ready.length,
      slots: ready.reduce((sum, { slots }) => sum + slots, 0),
    };
  }

  /** Takes no more; resolves when every request has ended, at the latest at the last one's deadline. */
  async drain(): Promise<void> {
    this.closing = true;
    if (this.open === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.idle = resolve;
    await promise;
  }

  async close(): Promise<void> {
    this.queue.setReady([]);
    await Promise.all(this.workers.map((worker) => worker.close()));
  }

  private handOut(): void {
    const { nowMs, random } = this.options;
    for (;;) {
      const handout = this.queue.next({ nowMs: nowMs(), random: random(), expired: (late) => late.expire() });
      if (handout === undefined) return;
      handout.request.sendTo(handout.worker);
    }
  }

  private giveBack(request: RoutedRequest): void {
    this.queue.release(request.worker as RouterWorker);
    request.worker = undefined;
  }

  /**
   * The worker reports the end of what it answered, unless it refused it: then nothing began. Of what was cut off it may
   * report one too, or not: ingest counts the first end of an attempt.
   */
  private tellFailure(request: RoutedRequest, errorClass: RouteOutcome, endedAtMs: number): void {
    const { startedAtMs, worker } = request;
    const begun = errorClass !== 'worker-refused' && startedAtMs !== undefined && worker !== undefined;
    const start = begun ? { startedAtMs, workerId: worker.workerId } : {};
    this.options.sink.emit(this.event(request, 'failed', { ...start, errorClass, endedAtMs }));
  }

  private event(
    { identity, queuedAtMs }: RoutedRequest,
    phase: Phase,
    more: Partial<ExecutionEvent['data']>,
  ): ExecutionEvent {
    const { executionId, attempt, taskType } = identity;
    return {
      specversion: '1.0',
      // The same for every sending of the same news, so that it counts once.
      id: eventIdOf({ executionId, attempt, phase }),
      source: this.source,
      type: `com.headroom.execution.${phase}.v1`,
      subject: executionId,
      data: { pool: this.pool, taskType, attempt, queuedAtMs, ...more },
    };
  }
}

function refuse(request: RoutedRequest, name: string, detail: string): void {
  request.refuse('rejected', { status: 503, name, detail });
}
