import { Agenda } from './agenda.js';

export interface EndedRequest {
  arrivedMs: number;
  startedMs: number;
  endedMs: number;
}

export interface SimulatedPoolSettings {
  slotsPerWorker: number;
  /** From the order to the moment a worker takes requests. */
  startDelayMs: number;
  /** A request that finds so many waiting is rejected. */
  maxQueued: number;
  /** Called in order of `endedMs`. */
  onEnd(request: EndedRequest): void;
}

/**
 *   ordered ──startDelay──▶ ready ──drain──▶ draining ──last request ends──▶ gone
 *      └────────── no longer wanted: gone at once (it was paid until then) ───┘
 */
interface Worker {
  state: 'starting' | 'ready' | 'draining' | 'gone';
  inFlight: number;
}

interface Waiting {
  arrivedMs: number;
  serviceMs: number;
}

type PoolEvent = { ready: Worker } | { ends: Worker; arrivedMs: number; startedMs: number };

/**
 * One pool with the router's queue (docs/decisions/0004): first in, first out, to the slot that has been free for
 * longest. Discrete events; its clock is moved by the calls, which must not go back in time.
 */
export class SimulatedPool {
  private readonly agenda = new Agenda<PoolEvent>();
  private readonly waiting: Waiting[] = [];
  private waitingFrom = 0;
  private readonly freeSlots: Worker[] = [];
  private freeFrom = 0;
  private workers: Worker[] = [];
  private nowMs = 0;
  private inFlightCount = 0;
  private paidMsTotal = 0;
  private requestMsTotal = 0;

  constructor(private readonly settings: SimulatedPoolSettings) {}

  /** Workers that exist at once, before the first request. */
  begin(workers: number): void {
    for (let i = 0; i < workers; i++) this.becomeReady(this.hire());
  }

  get backlog(): number {
    return this.waiting.length - this.waitingFrom;
  }

  get inFlight(): number {
    return this.inFlightCount;
  }

  /** Worker-milliseconds from the order to the end, so far. */
  get paidMs(): number {
    return this.paidMsTotal;
  }

  /** Request-milliseconds in the system, so far: the integral of waiting + in service. */
  get requestMs(): number {
    return this.requestMsTotal;
  }

  count(state: Worker['state']): number {
    return this.workers.filter((worker) => worker.state === state).length;
  }

  /** Lets happen what is due until then. */
  advanceTo(toMs: number): void {
    while (this.agenda.nextAtMs <= toMs) {
      this.moveClock(this.agenda.nextAtMs);
      const event = this.agenda.take();
      if ('ready' in event) this.becomeReady(event.ready);
      else this.end(event);
    }
    this.moveClock(toMs);
  }

  /** Lets everything that is waiting end, if there is a worker for it; the clock stops at the last event. */
  finish(): void {
    while (this.agenda.nextAtMs < Infinity) this.advanceTo(this.agenda.nextAtMs);
  }

  /** False: rejected, the queue is full. */
  arrive(atMs: number, serviceMs: number): boolean {
    this.advanceTo(atMs);
    if (this.backlog >= this.settings.maxQueued) return false;
    this.waiting.push({ arrivedMs: atMs, serviceMs });
    this.startWaiting();
    return true;
  }

  /** Orders workers, or lets go: those that still start, newest first, then the least busy. */
  order(atMs: number, desired: number): void {
    this.advanceTo(atMs);
    const starting = this.workers.filter(({ state }) => state === 'starting');
    const ready = this.workers.filter(({ state }) => state === 'ready');
    const missing = desired - starting.length - ready.length;
    for (let i = 0; i < missing; i++) {
      this.agenda.add(this.nowMs + this.settings.startDelayMs, { ready: this.hire() });
    }
    const dispensable = [...starting.reverse(), ...ready.sort((a, b) => a.inFlight - b.inFlight)];
    for (const worker of dispensable.slice(0, Math.max(0, -missing))) this.letGo(worker);
  }

  private hire(): Worker {
    const worker: Worker = { state: 'starting', inFlight: 0 };
    this.workers.push(worker);
    return worker;
  }

  private letGo(worker: Worker): void {
    if (worker.inFlight > 0) worker.state = 'draining';
    else this.remove(worker);
  }

  private remove(worker: Worker): void {
    worker.state = 'gone';
    this.workers = this.workers.filter((other) => other !== worker);
  }

  private becomeReady(worker: Worker): void {
    if (worker.state === 'gone') return;
    worker.state = 'ready';
    for (let slot = 0; slot < this.settings.slotsPerWorker; slot++) this.freeSlots.push(worker);
    this.startWaiting();
  }

  private end({ ends, arrivedMs, startedMs }: Extract<PoolEvent, { ends: Worker }>): void {
    ends.inFlight--;
    this.inFlightCount--;
    this.settings.onEnd({ arrivedMs, startedMs, endedMs: this.nowMs });
    if (ends.state === 'ready') this.freeSlots.push(ends);
    else if (ends.inFlight === 0) this.remove(ends);
    this.startWaiting();
  }

  private startWaiting(): void {
    while (this.backlog > 0) {
      const worker = this.takeFreeSlot();
      if (worker === undefined) return;
      const { arrivedMs, serviceMs } = this.waiting[this.waitingFrom++] as Waiting;
      if (this.waitingFrom > COMPACT_AT) this.waitingFrom = dropFront(this.waiting, this.waitingFrom);
      worker.inFlight++;
      this.inFlightCount++;
      this.agenda.add(this.nowMs + serviceMs, { ends: worker, arrivedMs, startedMs: this.nowMs });
    }
  }

  /** Slots of workers that drain or are gone are passed over. */
  private takeFreeSlot(): Worker | undefined {
    while (this.freeFrom < this.freeSlots.length) {
      const worker = this.freeSlots[this.freeFrom++] as Worker;
      if (this.freeFrom > COMPACT_AT) this.freeFrom = dropFront(this.freeSlots, this.freeFrom);
      if (worker.state === 'ready') return worker;
    }
    return undefined;
  }

  private moveClock(toMs: number): void {
    const forMs = Math.max(0, toMs - this.nowMs);
    this.paidMsTotal += forMs * this.workers.length;
    this.requestMsTotal += forMs * (this.backlog + this.inFlightCount);
    this.nowMs = Math.max(this.nowMs, toMs);
  }
}

/** The front of a queue is dropped in pieces of this size: each element is moved seldom. */
const COMPACT_AT = 10_000;

function dropFront(queue: unknown[], from: number): number {
  queue.splice(0, from);
  return 0;
}
