import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { MAX_PASSED_OVER, PoolQueue, type QueueWorker } from './pool-queue.js';
import { WaitingLine, type Place } from './waiting-line.js';

interface Worker extends QueueWorker {
  name: string;
}
interface Request {
  n: number;
  deadlineAtMs: number;
  avoid: Worker | undefined;
  place?: Place<Request>;
}

const worker = (name: string, slots: number): Worker => ({ name, slots, inFlight: 0 });
const request = (n: number, deadlineAtMs = Infinity): Request => ({ n, deadlineAtMs, avoid: undefined });
const neverExpires = { nowMs: 0, random: 0, expired: () => expect('expired').toBe('never') };

function admit(queue: PoolQueue<Request, Worker>, one: Request): string {
  const admission = queue.admit(one);
  if (admission.kind === 'waits') one.place = admission.place;
  return admission.kind;
}

describe('PoolQueue, as told', () => {
  test('two slots, a line of one: the fourth request is refused, and a free slot goes to the one in line', () => {
    const queue = new PoolQueue<Request, Worker>(1);
    const [a] = [worker('a', 2)];
    queue.setReady([a]);
    for (const n of [1, 2]) {
      expect(admit(queue, request(n))).toBe('waits');
      expect(queue.next(neverExpires)).toMatchObject({ request: { n }, worker: { name: 'a' } });
    }
    expect(admit(queue, request(3))).toBe('waits');
    expect(queue.next(neverExpires)).toBeUndefined();
    expect(admit(queue, request(4))).toBe('queue-full');
    queue.release(a);
    expect(queue.next(neverExpires)).toMatchObject({ request: { n: 3 } });
    expect(queue).toMatchObject({ waiting: 0, inFlight: 2 });
  });

  test('without a ready worker nothing is admitted; what waits already goes on waiting', () => {
    const queue = new PoolQueue<Request, Worker>(10);
    expect(admit(queue, request(1))).toBe('no-worker');
    const a = worker('a', 1);
    queue.setReady([a]);
    admit(queue, request(1));
    queue.next(neverExpires);
    admit(queue, request(2));
    queue.setReady([]); // a drains
    queue.release(a);
    expect(queue.next(neverExpires)).toBeUndefined();
    expect(queue).toMatchObject({ waiting: 1, inFlight: 0 });
    queue.setReady([worker('b', 1)]);
    expect(queue.next(neverExpires)).toMatchObject({ request: { n: 2 }, worker: { name: 'b' } });
  });

  test('limit 0 means never wait, not never serve', () => {
    const queue = new PoolQueue<Request, Worker>(0);
    queue.setReady([worker('a', 1)]);
    expect(admit(queue, request(1))).toBe('waits');
    queue.next(neverExpires);
    expect(admit(queue, request(2))).toBe('queue-full');
  });

  test('one whose deadline has passed is told so instead of handed out', () => {
    const queue = new PoolQueue<Request, Worker>(10);
    queue.setReady([worker('a', 1)]);
    const late: number[] = [];
    for (const [n, deadlineAtMs] of [
      [1, 100],
      [2, 99],
      [3, 101],
    ] as const) {
      admit(queue, request(n, deadlineAtMs));
    }
    const next = queue.next({ nowMs: 100, random: 0, expired: ({ n }) => late.push(n) });
    expect(next).toMatchObject({ request: { n: 3 } });
    expect(late).toEqual([1, 2]);
  });

  test('one that failed is the first again and goes to another worker, unless there is no other', () => {
    const queue = new PoolQueue<Request, Worker>(0);
    const [a, b] = [worker('a', 1), worker('b', 1)];
    queue.setReady([a]);
    const failed = request(1);
    admit(queue, failed);
    queue.next(neverExpires);
    queue.setReady([a, b]);
    queue.release(a);
    failed.avoid = a;
    queue.again(failed);
    expect(queue.next(neverExpires)).toMatchObject({ request: { n: 1 }, worker: { name: 'b' } });
    queue.release(b);
    queue.setReady([a]);
    queue.again(failed);
    expect(queue.next(neverExpires)).toMatchObject({ worker: { name: 'a' } });
  });

  test('one that avoids the only free worker does not stop those behind it, and keeps its place', () => {
    const queue = new PoolQueue<Request, Worker>(10);
    const [a, b] = [worker('a', 1), worker('b', 1)];
    queue.setReady([a]);
    const failed = request(1);
    admit(queue, failed);
    queue.next(neverExpires);
    queue.release(a);
    failed.avoid = a;
    queue.again(failed);
    b.inFlight = 1;
    queue.setReady([a, b]);
    admit(queue, request(2));
    admit(queue, request(3));
    expect(queue.next(neverExpires)).toMatchObject({ request: { n: 2 }, worker: { name: 'a' } });
    expect(queue.next(neverExpires)).toBeUndefined();
    queue.release(b);
    expect(queue.next(neverExpires)).toMatchObject({ request: { n: 1 }, worker: { name: 'b' } });
    queue.release(a);
    expect(queue.next(neverExpires)).toMatchObject({ request: { n: 3 }, worker: { name: 'a' } });
  });

  test('no more than a bound are passed over', () => {
    for (const failures of [MAX_PASSED_OVER, MAX_PASSED_OVER + 1]) {
      const queue = new PoolQueue<Request, Worker>(0);
      const [a, b] = [worker('a', 1), worker('b', 1)];
      queue.setReady([a, b]);
      admit(queue, request(0));
      for (let n = 1; n <= failures; n++) queue.again({ ...request(n), avoid: a });
      b.inFlight = 1;
      expect(queue.next(neverExpires)?.request.n).toBe(failures === MAX_PASSED_OVER ? 0 : undefined);
    }
  });
});

type Step =
  | { do: 'arrive'; patienceMs: number }
  | { do: 'finish' | 'withdraw' | 'drain' | 'fail'; which: number }
  | { do: 'join'; slots: number }
  | { do: 'wait'; ms: number };

const which = fc.nat(1000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('arrive' as const), patienceMs: fc.nat(50) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('finish' as const), which }) },
  fc.record({ do: fc.constantFrom('withdraw' as const, 'drain' as const, 'fail' as const), which }),
  fc.record({ do: fc.constant('join' as const), slots: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(20) }),
);

/** Plays steps and notes which law was broken. */
class Play {
  readonly broken: string[] = [];
  readonly queue: PoolQueue<Request, Worker>;
  readonly workers: Worker[] = [];
  readonly waiting: Request[] = [];
  readonly withWorker: { request: Request; worker: Worker }[] = [];
  readonly counts = { arrived: 0, refused: 0, finished: 0, withdrawn: 0, expired: 0 };
  nowMs = 0;

  constructor(readonly limit: number) {
    this.queue = new PoolQueue(limit);
  }

  step(one: Step): void {
    if (one.do === 'arrive') this.arrive(one.patienceMs);
    else if (one.do === 'join') this.workers.push(worker(`w${this.workers.length}`, one.slots));
    else if (one.do === 'wait') this.nowMs += one.ms;
    else if (one.do === 'drain') this.workers.splice(one.which % (this.workers.length || 1), 1);
    else if (one.do === 'withdraw') this.withdraw(one.which);
    else this.done(one.do, one.which);
    this.queue.setReady([...this.workers]);
    this.pump();
    this.check();
  }

  private arrive(patienceMs: number): void {
    this.counts.arrived++;
    const one = request(this.counts.arrived, this.nowMs + patienceMs);
    if (admit(this.queue, one) === 'waits') this.waiting.push(one);
    else this.counts.refused++;
  }

  private withdraw(n: number): void {
    const [gone] = this.waiting.splice(n % (this.waiting.length || 1), 1);
    if (gone === undefined) return;
    this.queue.withdraw(gone.place as Place<Request>);
    this.queue.withdraw(gone.place as Place<Request>); // twice is the same
    this.counts.withdrawn++;
  }

  private done(how: 'finish' | 'fail', n: number): void {
    const [one] = this.withWorker.splice(n % (this.withWorker.length || 1), 1);
    if (one === undefined) return;
    this.queue.release(one.worker);
    if (how === 'finish') {
      this.counts.finished++;
      return;
    }
    one.request.avoid = one.worker;
    one.request.place = this.queue.again(one.request);
    this.waiting.unshift(one.request);
  }

  private pump(): void {
    for (;;) {
      const handout = this.queue.next({
        nowMs: this.nowMs,
        random: (this.nowMs % 7) / 7,
        expired: (late) => {
          this.law('only who waits expires', this.waiting.includes(late));
          this.waiting.splice(this.waiting.indexOf(late), 1);
          this.law('only the late expire', late.deadlineAtMs <= this.nowMs);
          this.counts.expired++;
        },
      });
      if (handout === undefined) return;
      const index = this.waiting.indexOf(handout.request);
      const before = { ...handout.worker, inFlight: handout.worker.inFlight - 1 };
      const workers = this.workers.map((one) => (one === handout.worker ? before : one));
      const passedOver = this.waiting.splice(0, index + 1).slice(0, -1);
      this.waiting.unshift(...passedOver);
      this.law('first in, first out of those a free slot suits', !this.suits(passedOver, workers));
      this.law('nothing for a worker that drains', this.workers.includes(handout.worker));
      this.withWorker.push(handout);
    }
  }

  private check(): void {
    const { arrived, ...gone } = this.counts;
    const known = Object.values(gone).reduce((a, b) => a + b, 0);
    this.law('none lost', known + this.waiting.length + this.withWorker.length === arrived);
    this.law('counts the waiting', this.queue.waiting === this.waiting.length);
    this.law('counts the carried', this.queue.inFlight === this.withWorker.length);
    const again = this.waiting.filter(({ avoid }) => avoid !== undefined).length;
    this.law('bounded', this.waiting.length - again <= this.limit);
    for (const { worker } of this.withWorker) this.law('slots are kept', worker.inFlight <= worker.slots);
    const firsts = this.waiting.slice(0, MAX_PASSED_OVER + 1);
    this.law('no slot idle while one waits whom it suits', !this.suits(firsts, this.workers));
  }

  /** One of the requests could have a free slot: not with the worker it avoids, unless there is no other. */
  private suits(requests: Request[], workers: Worker[]): boolean {
    const free = workers.filter((one) => one.inFlight < one.slots);
    return requests.some(({ avoid }) => free.some((one) => one.name !== avoid?.name || workers.length === 1));
  }

  private law(name: string, holds: boolean): void {
    if (!holds) this.broken.push(name);
  }
}

test('whatever happens in whatever order, the laws hold', () => {
  fc.assert(
    fc.property(fc.nat(5), fc.array(step, { maxLength: 120 }), (limit, steps) => {
      const play = new Play(limit);
      for (const one of steps) play.step(one);
      expect(play.broken).toEqual([]);
    }),
  );
});

test('a line from whose middle some leave keeps the order of the others', () => {
  const line = new WaitingLine<number>();
  const dropFirst = () => line.leave(line.first as Place<number>);
  const places = [1, 2, 3, 4, 5].map((n) => line.join(n));
  for (const i of [2, 4, 2]) line.leave(places[i] as Place<number>);
  line.rejoinFirst(0);
  const order: (number | undefined)[] = [];
  for (; line.length > 0; dropFirst()) order.push(line.first?.item);
  expect(order).toEqual([0, 1, 2, 4]);
  line.rejoinFirst(9);
  expect(line).toMatchObject({ first: { item: 9 }, length: 1 });
});
