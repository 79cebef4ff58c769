import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import type { ExecutionEvent, ParsedEvent, Phase } from '#domain/events';
import { MAX_ENDED_ATTEMPTS, MAX_OPEN_ATTEMPTS } from './attempts.js';
import { addToBucket, backlogChange, emptyBucket, inFlightChange, type Bucket } from './bucket.js';
import {
  ingestStep,
  MAX_PARTIAL_BYTES,
  newIngestMemory,
  replayIngest,
  restoreIngest,
  resumeIngest,
  type IngestMemory,
  type IngestOutput,
  type IngestRecord,
  type IngestSettings,
  type StateRecord,
} from './ingest.js';

const T0 = 1_800_000_000_000;
const S = 1000;
const settings: IngestSettings = { dedupeWindowS: 10, maxExecutionS: 30, maxFutureS: 5, maxAgeS: 35 };
const poolSettings = (pool: string) => ({ bucketS: pool === 'tens' ? 10 : 1, latenessS: 2 });
const admitsAll = (pool: string) => pool !== 'surplus';

interface Told {
  id: string;
  phase: Phase;
  queuedAtMs: number;
  startedAtMs?: number;
  endedAtMs?: number;
  pool?: string;
  attempt?: number;
  errorClass?: string;
  assumed?: ('queuedAtMs' | 'startedAtMs')[] | undefined;
}

function eventOf({
  id,
  phase,
  queuedAtMs,
  startedAtMs,
  endedAtMs,
  errorClass,
  assumed,
  ...rest
}: Told): ExecutionEvent {
  const { pool = 'web', attempt = 1 } = rest;
  const data = { pool, taskType: 'default', attempt, queuedAtMs };
  return {
    specversion: '1.0',
    id: `${id}/${attempt}/${phase}`,
    source: 'test',
    type: `com.headroom.execution.${phase}.v1`,
    subject: id,
    data: {
      ...data,
      ...(startedAtMs !== undefined && { startedAtMs }),
      ...(endedAtMs !== undefined && { endedAtMs }),
      ...(errorClass !== undefined && { errorClass }),
      ...(assumed !== undefined && { assumed }),
    },
  };
}
const parsedOf = (told: Told): ParsedEvent => ({ ok: true, event: eventOf(told) });

/** A partition that is fed step by step. */
class Partition {
  memory: IngestMemory = newIngestMemory();
  readonly outputs: IngestOutput[] = [];
  readonly log: IngestRecord[] = [];
  constructor(
    readonly partition = 0,
    private readonly admits = admitsAll,
    private readonly given = settings,
  ) {}

  /** Appends at a log time and counts it: one step. */
  take(timestampMs: number, ...parsed: ParsedEvent[]): IngestOutput {
    return this.takeAll(timestampMs, parsed);
  }
  takeAll(timestampMs: number, parsed: ParsedEvent[]): IngestOutput {
    return this.step(parsed.map((p, i) => ({ offset: this.log.length + i, timestampMs, parsed: p })));
  }
  step(records: IngestRecord[]): IngestOutput {
    for (const record of records) this.log.push(record);
    const { partition, given, admits } = this;
    const input = { partition, records, settings: given, admits, poolSettings };
    const { output, memory } = ingestStep(input, this.memory);
    this.memory = memory;
    this.outputs.push(output);
    return output;
  }
  /** As if so many other attempts had ended just now. */
  fillEnded(count: number): void {
    const { attempts, nowMs } = this.memory;
    for (let i = 0; i < count; i++) attempts.ended.tell(`other${i}`, nowMs);
  }
  /** Loses the memory and gets it back from what the log and the state topic hold. */
  restart(given = this.given): IngestMemory {
    const latest = new Map<string, string | null>();
    for (const { key, value } of this.outputs.flatMap((output) => output.state)) latest.set(key, value);
    const state: StateRecord[] = [...latest].map(([key, value]) => ({ key, value }));
    const restored = restoreIngest(state);
    if (restored.to !== this.log.length) throw new Error(`restored to ${restored.to}, not the end`);
    const from = this.log.findIndex(({ timestampMs }) => timestampMs >= restored.replayFromMs);
    const again = from === -1 ? [] : this.log.slice(from);
    // In two pieces, as a reader would.
    replayIngest(again.slice(0, 3), restored, given);
    replayIngest(again.slice(3), restored, given);
    this.memory = resumeIngest(restored);
    return this.memory;
  }
  totals(pool = 'web'): Bucket {
    return sumOf(this.outputs, pool);
  }
}

function sumOf(outputs: IngestOutput[], pool = 'web'): Bucket {
  const sum = emptyBucket(0);
  for (const { partials } of outputs) {
    for (const partial of partials.filter((p) => p.pool === pool)) {
      for (const bucket of partial.buckets) addToBucket(sum, bucket);
    }
  }
  return sum;
}

/** Everything a history leaves: buckets by pool and start, and what was refused. */
function resultOf(outputs: IngestOutput[]) {
  const buckets: Record<string, Bucket> = {};
  for (const { pool, buckets: changes } of outputs.flatMap(({ partials }) => partials)) {
    for (const change of changes) {
      addToBucket((buckets[`${pool} ${change.startMs}`] ??= emptyBucket(change.startMs)), change);
    }
  }
  const counts = { duplicates: 0, late: 0, expired: 0, forgottenEarly: 0 };
  for (const output of outputs) {
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += output.counts[name];
  }
  return { buckets, counts, deadLetters: outputs.flatMap(({ deadLetters }) => deadLetters) };
}

/** A memory with its keys as they can be compared, in any order. */
function known(memory: IngestMemory) {
  return { ...memory, attempts: { ...memory.attempts, ended: [...memory.attempts.ended.told()].toSorted() } };
}

/** An execution's full story, as a well-behaved sender tells it. */
const story = fc.record({
  ms: fc.nat(4000),
  waitMs: fc.nat(500),
  serviceMs: fc.nat(500),
  end: fc.constantFrom<Phase>('completed', 'failed'),
});
type Story = { ms: number; waitMs: number; serviceMs: number; end: Phase };
function toldBy({ ms, waitMs, serviceMs, end }: Story, i: number): Told[] {
  const queuedAtMs = T0 + ms;
  const startedAtMs = queuedAtMs + waitMs;
  const endedAtMs = startedAtMs + serviceMs;
  const id = `e${i}`;
  return [
    { id, phase: 'queued', queuedAtMs },
    { id, phase: 'started', queuedAtMs, startedAtMs },
    { id, phase: end, queuedAtMs, startedAtMs, endedAtMs },
  ];
}

/** Anything a partition may meet: few ids, so that they collide; jumps of time around every bound; poison. */
const chaos = fc.array(
  fc.record({
    stepMs: fc.constantFrom(
      0,
      0,
      0,
      1,
      500,
      1000,
      2500,
      4999,
      5000,
      5001,
      9999,
      10_000,
      10_001,
      31_000,
      -4000,
      -7_200_000,
    ),
    id: fc.constantFrom<'a' | 'b' | 'c' | 'd'>('a', 'b', 'c', 'd'),
    attempt: fc.constantFrom(1, 1, 1, 2),
    pool: fc.constantFrom('web', 'web', 'tens', 'surplus'),
    phase: fc.constantFrom<Phase | 'poison'>('queued', 'queued', 'started', 'completed', 'failed', 'poison'),
    ageMs: fc.constantFrom(0, 0, 700, 4000, 20_000, 34_000, 36_000, -3000, -6000),
    waitMs: fc.constantFrom(0, 600),
    unstarted: fc.boolean(),
    assumed: fc.constantFrom<Told['assumed']>(undefined, ['queuedAtMs'], ['queuedAtMs', 'startedAtMs']),
  }),
  { minLength: 1, maxLength: 40 },
);
type Chaos = ReturnType<typeof chaosRecords>;
function chaosRecords(events: typeof chaos extends fc.Arbitrary<infer V> ? V : never): IngestRecord[] {
  let nowMs = T0;
  return events.map((event, offset) => {
    nowMs += event.stepMs;
    const timestampMs = nowMs;
    if (event.phase === 'poison') {
      return { offset, timestampMs, parsed: { ok: false, reason: 'invalid', detail: 'poison' } };
    }
    const { id, attempt, pool, phase, assumed } = event;
    const queuedAtMs = timestampMs - event.ageMs;
    const startedAtMs = queuedAtMs + event.waitMs;
    const ends = phase === 'completed' || phase === 'failed';
    const startless = phase === 'queued' || (phase === 'failed' && event.unstarted);
    const times = { ...(!startless && { startedAtMs }), ...(ends && { endedAtMs: startedAtMs + 5 }) };
    return {
      offset,
      timestampMs,
      parsed: parsedOf({ id, attempt, pool, phase, queuedAtMs, assumed, ...times }),
    };
  });
}
const cutAt = (records: Chaos, cuts: number[]): Chaos[] => {
  const ends = [...new Set([...cuts.map((cut) => cut % records.length), records.length])].sort(
    (a, b) => a - b,
  );
  return ends
    .map((end, i) => records.slice(i === 0 ? 0 : ends[i - 1], end))
    .filter((step) => step.length > 0);
};

describe('laws', () => {
  test('phases in any order, sent any number of times, divided anywhere: every execution counts once', () => {
    const telling = fc.array(story, { minLength: 1, maxLength: 8 }).chain((stories) => {
      const all = stories.flatMap(toldBy);
      const sent = fc.shuffledSubarray([...all, ...all, ...all], { minLength: 1 });
      return fc.tuple(fc.constant(stories), sent, fc.array(fc.nat(100), { maxLength: 5 }));
    });
    fc.assert(
      fc.property(telling, ([stories, sent, cuts]) => {
        const records = sent.map((told, offset) => {
          return { offset, timestampMs: T0 + 5000 + offset, parsed: parsedOf(told) };
        });
        const partition = new Partition();
        for (const step of cutAt(records, cuts)) partition.step(step);
        const totals = partition.totals();
        const heard = (among: Phase[]) =>
          new Set(sent.filter(({ phase }) => among.includes(phase)).map(({ id }) => id)).size;
        expect(totals).toMatchObject({
          arrivals: heard(['queued', 'started', 'completed', 'failed']),
          starts: heard(['started', 'completed', 'failed']),
          completions: heard(['completed']),
          failures: heard(['failed']),
          retries: 0,
          abandonments: 0,
        });
        expect(totals.waitMs.count).toBe(totals.starts);
        expect(totals.serviceMs.count).toBe(totals.completions + totals.failures);
        expect(totals.responseMs.count).toBe(totals.completions);
        expect(backlogChange(totals) + inFlightChange(totals)).toBe(
          totals.arrivals - heard(['completed', 'failed']),
        );
        // Each arrival lies in the bucket of its queuedAt.
        const byBucket = resultOf(partition.outputs).buckets;
        for (const [key, { arrivals, startMs }] of Object.entries(byBucket)) {
          const here = stories
            .map((one, i) => ({ at: T0 + one.ms, id: `e${i}` }))
            .filter(({ at, id }) => at >= startMs && at < startMs + S && sent.some((s) => s.id === id));
          expect([key, arrivals]).toEqual([key, here.length]);
        }
      }),
    );
  });

  test('the result depends on the records, not on where the steps divide them', () => {
    fc.assert(
      fc.property(chaos, fc.array(fc.nat(100), { maxLength: 10 }), (events, cuts) => {
        const records = chaosRecords(events);
        const whole = new Partition();
        whole.step(records);
        const parts = new Partition();
        for (const step of cutAt(records, cuts)) parts.step(step);
        expect(resultOf(parts.outputs)).toEqual(resultOf(whole.outputs));
        const chainless = (memory: IngestMemory) => ({ ...known(memory), chains: undefined });
        expect(chainless(parts.memory)).toEqual(chainless(whole.memory));
      }),
      { numRuns: 300 },
    );
  });

  test('a restart after any step leaves the same memory, hence the same future', () => {
    fc.assert(
      fc.property(chaos, (events) => {
        const partition = new Partition();
        const pools = { a: 'web', b: 'web', c: 'tens', d: 'surplus' } as const;
        const faithful = events.map((event) => ({ ...event, pool: pools[event.id] }));
        for (const record of chaosRecords(faithful)) {
          partition.step([record]);
          const before = known(partition.memory);
          expect(known(partition.restart())).toEqual(before);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('the partials of a pool and partition form a chain without holes', () => {
    fc.assert(
      fc.property(chaos, fc.array(fc.nat(100), { maxLength: 10 }), (events, cuts) => {
        const partition = new Partition(3);
        for (const step of cutAt(chaosRecords(events), cuts)) partition.step(step);
        const ends = new Map<string, number>();
        for (const { pool, range } of partition.outputs.flatMap(({ partials }) => partials)) {
          expect(range).toMatchObject({ partition: 3, from: ends.get(pool) ?? -1 });
          expect(range.to).toBeGreaterThan(range.from);
          ends.set(pool, range.to);
        }
      }),
    );
  });

  test('no number is negative, no attempt leaves more often than it came', () => {
    fc.assert(
      fc.property(chaos, (events) => {
        const partition = new Partition();
        partition.step(chaosRecords(events));
        for (const pool of ['web', 'tens']) {
          const totals = partition.totals(pool);
          const numbers = Object.values(totals).filter((value) => typeof value === 'number');
          expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
        }
        const all = emptyBucket(0);
        for (const pool of ['web', 'tens']) addToBucket(all, partition.totals(pool));
        const { young, old } = partition.memory.attempts;
        const open = [...young.values(), ...old.values()];
        expect(backlogChange(all)).toBe(open.filter(({ started }) => !started).length);
        expect(inFlightChange(all)).toBe(open.filter(({ started }) => started).length);
        expect(partition.totals('surplus')).toEqual(emptyBucket(0));
      }),
    );
  });
});

describe('stories', () => {
  const at = (s: number) => T0 + s * S;
  const queued = (id: string, s: number, more: Partial<Told> = {}) =>
    parsedOf({ id, phase: 'queued', queuedAtMs: at(s), ...more });
  const started = (id: string, s: number, startS: number) =>
    parsedOf({ id, phase: 'started', queuedAtMs: at(s), startedAtMs: at(startS) });
  const completed = (id: string, s: number, startS: number, endS: number) =>
    parsedOf({ id, phase: 'completed', queuedAtMs: at(s), startedAtMs: at(startS), endedAtMs: at(endS) });

  test('waits, service and response times are measured once, in the buckets where they ended', () => {
    const partition = new Partition();
    partition.take(at(4), queued('a', 0), started('a', 0, 1), completed('a', 0, 1, 4));
    const { buckets } = resultOf(partition.outputs);
    expect(Object.keys(buckets)).toEqual([`web ${at(0)}`, `web ${at(1)}`, `web ${at(4)}`]);
    expect(buckets[`web ${at(1)}`]?.waitMs).toMatchObject({ count: 1, sum: 1 * S });
    expect(buckets[`web ${at(4)}`]?.serviceMs).toMatchObject({ count: 1, sum: 3 * S });
    expect(buckets[`web ${at(4)}`]?.responseMs).toMatchObject({ count: 1, sum: 4 * S });
  });

  test('what fails has had a slot all the same: its service time is measured, no response time', () => {
    const partition = new Partition();
    const times = { queuedAtMs: at(0), startedAtMs: at(1), endedAtMs: at(4) };
    const unstarted = { queuedAtMs: at(0), endedAtMs: at(4) };
    partition.take(
      at(4),
      parsedOf({ id: 'a', phase: 'failed', ...times }),
      parsedOf({ id: 'b', phase: 'failed', ...unstarted }),
    );
    const totals = partition.totals();
    expect(totals).toMatchObject({ failures: 1, abandonments: 1 });
    expect(totals.serviceMs).toMatchObject({ count: 1, sum: 3 * S });
    expect(totals.responseMs.count).toBe(0);
  });

  describe('a platform whose events tell nothing but their own time', () => {
    const ALL = ['queuedAtMs', 'startedAtMs'] as const;
    const enqueued = queued('a', 0);
    const active = (s: number) =>
      parsedOf({ id: 'a', phase: 'started', queuedAtMs: at(s), startedAtMs: at(s), assumed: ['queuedAtMs'] });
    const done = (s: number) => {
      const times = { queuedAtMs: at(s), startedAtMs: at(s), endedAtMs: at(s) };
      return parsedOf({ id: 'a', phase: 'completed', ...times, assumed: [...ALL] });
    };

    test('waits, service and response times come from what earlier events told', () => {
      const partition = new Partition();
      partition.take(at(4), enqueued, active(1), done(4));
      const { buckets } = resultOf(partition.outputs);
      expect(Object.keys(buckets)).toEqual([`web ${at(0)}`, `web ${at(1)}`, `web ${at(4)}`]);
      expect(buckets[`web ${at(1)}`]?.waitMs).toMatchObject({ count: 1, sum: 1 * S });
      expect(buckets[`web ${at(4)}`]?.serviceMs).toMatchObject({ count: 1, sum: 3 * S });
      expect(buckets[`web ${at(4)}`]?.responseMs).toMatchObject({ count: 1, sum: 4 * S });
    });

    test('also across a restart, whether the log or the state topic tells it', () => {
      for (const pauseS of [1, 6]) {
        const partition = new Partition();
        partition.take(at(1), enqueued, active(1));
        partition.take(at(1 + pauseS), queued('other', 1));
        partition.restart();
        partition.take(at(8), done(8));
        expect(partition.totals().serviceMs).toMatchObject({ count: 1, sum: 7 * S });
        expect(partition.totals().responseMs).toMatchObject({ count: 1, sum: 8 * S });
      }
    });

    test('what nobody has told is not measured, and counts all the same', () => {
      const partition = new Partition();
      partition.take(at(4), done(4));
      expect(partition.totals()).toMatchObject({ arrivals: 1, starts: 1, completions: 1 });
      const { waitMs, serviceMs, responseMs } = partition.totals();
      expect([waitMs.count, serviceMs.count, responseMs.count]).toEqual([0, 0, 0]);
    });

    test('a start that comes before its arrival leaves the arrival to be told', () => {
      const partition = new Partition();
      partition.take(at(4), active(1), enqueued, done(4));
      expect(partition.totals()).toMatchObject({ arrivals: 1, starts: 1, completions: 1 });
      expect(partition.totals().waitMs.count).toBe(0);
      expect(partition.totals().responseMs).toMatchObject({ count: 1, sum: 4 * S });
    });

    test('a try that is not numbered is the same attempt: its service time runs from the last start', () => {
      const partition = new Partition();
      partition.take(at(1), enqueued, active(1));
      partition.take(at(7), queued('other', 7)); // by now its state is in the topic
      partition.take(at(8), active(8));
      partition.restart();
      partition.take(at(9), done(9));
      expect(partition.totals()).toMatchObject({ starts: 1, completions: 1, retries: 0 });
      expect(partition.totals().serviceMs).toMatchObject({ count: 1, sum: 1 * S });
    });
  });

  test('a rejection is an arrival that never started; a retry is no arrival', () => {
    const partition = new Partition();
    const failed = { phase: 'failed' as const, endedAtMs: at(1), errorClass: 'rejected' };
    partition.take(at(1), queued('a', 0), queued('a', 0, failed), queued('a', 1, { attempt: 2 }));
    expect(partition.totals()).toMatchObject({ arrivals: 1, abandonments: 1, rejections: 1, retries: 1 });
    expect(backlogChange(partition.totals())).toBe(1); // the retry waits
  });

  test('an event that is sent again counts again only after a window of silence', () => {
    const partition = new Partition();
    partition.take(at(1), completed('a', 0, 0, 1));
    expect(partition.take(at(10), completed('a', 0, 0, 1)).counts.duplicates).toBe(1);
    expect(partition.take(at(19), queued('a', 0)).counts.duplicates).toBe(1);
    partition.take(at(30), completed('a', 0, 0, 1));
    expect(partition.totals().arrivals).toBe(2);
  });

  test('an attempt whose end is never seen leaves after maxExecutionS; its end afterwards changes nothing', () => {
    const partition = new Partition();
    partition.take(at(0), queued('waits', 0), started('runs', 0, 0));
    partition.take(at(6), queued('other', 6)); // both are in the state topic by now
    expect(partition.take(at(29.9), queued('other', 6)).counts.expired).toBe(0);
    expect(partition.take(at(30), queued('other', 6)).counts.expired).toBe(2);
    expect(partition.totals()).toMatchObject({ expiredQueued: 1, expiredStarted: 1 });
    partition.restart();
    expect(partition.take(at(33), completed('runs', 0, 0, 33)).counts.duplicates).toBe(1);
    partition.take(at(34), completed('other', 6, 6, 34));
    partition.take(at(44), queued('another', 44));
    expect(partition.memory.attempts.expired.size).toBe(0);
    expect(restoreIngest(partition.outputs.flatMap(({ state }) => state)).expiries).toEqual([]);
  });

  test('late is what comes when its bucket is final: its end plus lateness is behind the watermark', () => {
    const partition = new Partition();
    partition.take(at(4), queued('a', 4));
    expect(partition.take(at(4), queued('b', 2)).counts.late).toBe(0); // final at 5
    expect(partition.take(at(4), queued('c', 1.9)).counts.late).toBe(1); // final at 4
    // The end is on time, the arrival that it implies is not.
    expect(partition.take(at(4), completed('d', 0, 3.9, 4)).counts.late).toBe(1);
    expect(partition.totals().arrivals).toBe(4);
  });

  test('an execution of the same id in another pool is another execution', () => {
    const partition = new Partition();
    partition.take(at(0), queued('a', 0), queued('a', 0, { pool: 'tens' }));
    partition.restart();
    const { counts, partials } = partition.take(at(1), completed('a', 0, 0, 1));
    expect(counts.duplicates).toBe(0);
    expect(partials.map(({ pool }) => pool)).toEqual(['web']);
    expect(partition.totals()).toMatchObject({ arrivals: 1, starts: 1, completions: 1 });
    expect(partition.totals('tens')).toMatchObject({ arrivals: 1, starts: 0, completions: 0 });
  });

  test('the end of a long execution is not late; a start, or an end, that is told late is', () => {
    const partition = new Partition();
    partition.take(at(0), queued('long', 0), queued('other', 0));
    // The start that it tells, too, lies in a bucket that was final long ago.
    expect(partition.take(at(20), completed('long', 0, 0, 20)).counts.late).toBe(0);
    expect(partition.take(at(20), started('other', 0, 1)).counts.late).toBe(1);
    expect(partition.take(at(20), completed('other', 0, 1, 2)).counts.late).toBe(1);
    expect(partition.totals()).toMatchObject({ arrivals: 2, starts: 2, completions: 2 });
  });

  test('a clock ahead of the log counts where it says, but makes nobody else late', () => {
    const partition = new Partition();
    partition.take(at(0), queued('ahead', 4.9));
    expect(partition.memory.watermarkMs).toBe(at(0));
    expect(partition.take(at(0), queued('b', 0)).counts.late).toBe(0);
  });

  test.each([
    ['future', 5.1, 'times at most 5 s ahead, got 5 s'],
    ['too_old', -35.1, 'queuedAtMs at most 35 s ago, got 35 s'],
  ])('%s events are dead-lettered with the numbers', (reason, s, detail) => {
    const partition = new Partition();
    const output = partition.take(at(0), queued('a', s), queued('ok', 0));
    expect(output.deadLetters).toEqual([{ offset: 0, reason, detail }]);
    expect(partition.totals().arrivals).toBe(1);
  });

  test('one pool too many is dead-lettered; admitted later, what was refused before stays uncounted', () => {
    let admitted = false;
    const partition = new Partition(0, (pool) => pool !== 'new' || admitted);
    const event = queued('a', 0, { pool: 'new' });
    expect(partition.take(at(0), event).deadLetters).toEqual([
      { offset: 0, reason: 'too_many_pools', detail: 'no room for pool new (ingest.maxPools)' },
    ]);
    admitted = true;
    partition.take(at(1), queued('b', 1, { pool: 'new' }));
    partition.restart();
    partition.take(at(2), event);
    expect(partition.totals('new').arrivals).toBe(2);
  });

  test('a pool that is no longer admitted gets no new event, and its open attempts still expire', () => {
    let admitted = true;
    const partition = new Partition(0, () => admitted);
    partition.take(at(0), queued('a', 0));
    admitted = false;
    const { counts, deadLetters } = partition.take(at(31), queued('b', 31));
    expect(counts.expired).toBe(1);
    expect(deadLetters.map(({ reason }) => reason)).toEqual(['too_many_pools']);
    expect(partition.totals()).toMatchObject({ arrivals: 1, expiredQueued: 1 });
  });

  test('a log clock that goes back stops time, and a restart meanwhile forgets nothing', () => {
    const partition = new Partition();
    partition.take(at(100), queued('a', 100));
    partition.take(at(70), queued('b', 70));
    expect(partition.memory.nowMs).toBe(at(100));
    partition.restart();
    partition.take(at(71), completed('b', 70, 70, 71), queued('a', 100));
    expect(partition.totals()).toMatchObject({ arrivals: 2, completions: 1 });
  });

  test('a clock that was two hours ahead and is corrected: events are judged by the log time of their own record', () => {
    const partition = new Partition();
    partition.take(at(7200), queued('ahead', 7200));
    const output = partition.take(at(0), queued('a', 0), queued('old', -36), queued('future', 6));
    expect(output.deadLetters.map(({ reason }) => reason)).toEqual(['too_old', 'future']);
    expect(output.counts.late).toBe(0);
    partition.restart();
    partition.take(at(1), completed('a', 0, 0, 1), queued('a', 0));
    expect(partition.totals()).toMatchObject({ arrivals: 2, completions: 1 });
  });

  test('another dedupe window after a restart loses no open attempt', () => {
    for (const dedupeWindowS of [2, 100]) {
      const partition = new Partition();
      partition.take(at(0), queued('a', 0));
      partition.take(at(4), started('b', 0, 1));
      partition.restart({ ...settings, dedupeWindowS });
      partition.take(at(5), completed('a', 0, 1, 5), completed('b', 0, 1, 5));
      expect(partition.totals()).toMatchObject({ arrivals: 2, starts: 2, completions: 2 });
    }
  });

  test('nothing committed: the partition is read from its beginning', () => {
    const restored = restoreIngest([]);
    expect(restored.to).toBe(0);
    expect(resumeIngest(restored)).toEqual(newIngestMemory());
  });

  test('a log that lost its window still lets go of expired attempts', () => {
    const partition = new Partition();
    partition.take(at(0), queued('a', 0));
    partition.take(at(31), queued('b', 31));
    partition.take(at(39), queued('c', 39));
    partition.log.splice(0, 3, ...partition.log.map((record) => ({ ...record, timestampMs: 0 })));
    partition.restart();
    const { state } = partition.take(at(60), queued('d', 60));
    expect(state).toContainEqual({ key: 'expired:web/a/1', value: null });
  });
});

describe('bounds', () => {
  test('more open attempts than there is room for: the oldest leave early, counted as expired', () => {
    const partition = new Partition();
    const many = Array.from({ length: MAX_OPEN_ATTEMPTS + 2 }, (_, i) =>
      parsedOf({ id: `e${i}`, phase: 'queued', queuedAtMs: T0 }),
    );
    partition.takeAll(T0, many.slice(0, 100_000));
    partition.takeAll(T0 + 6 * S, many.slice(100_000)); // the first ones are old by now
    expect(partition.take(T0 + 7 * S, many[0] as ParsedEvent).counts.expired).toBe(2);
    const { old, young } = partition.memory.attempts;
    expect(old.size + young.size).toBe(MAX_OPEN_ATTEMPTS);
    expect(old.has('web/e0/1')).toBe(false);
  });

  test('more ended attempts than there is room for: the oldest are forgotten early, and that is counted', () => {
    const partition = new Partition();
    const ended = { phase: 'failed' as const, queuedAtMs: T0, endedAtMs: T0 };
    const many = Array.from({ length: 10 }, (_, i) => parsedOf({ id: `e${i}`, ...ended }));
    partition.memory.nowMs = T0;
    partition.fillEnded(MAX_ENDED_ATTEMPTS + 3 - many.length);
    partition.takeAll(T0, many);
    expect(partition.take(T0 + 1, many[5] as ParsedEvent).counts).toMatchObject({
      forgottenEarly: 3,
      duplicates: 1,
    });
    expect(partition.memory.attempts.ended.size).toBe(MAX_ENDED_ATTEMPTS);
  });

  test('the bounds hold while a clock that was set back stops time', () => {
    const partition = new Partition();
    const failed = { phase: 'failed' as const, queuedAtMs: T0, endedAtMs: T0 };
    partition.take(T0 + 3600 * S, parsedOf({ id: 'ahead', phase: 'queued', queuedAtMs: T0 + 3600 * S }));
    const many = Array.from({ length: 10 }, (_, i) => parsedOf({ id: `e${i}`, ...failed }));
    partition.fillEnded(MAX_ENDED_ATTEMPTS + 3 - many.length);
    expect(partition.takeAll(T0, many).counts.forgottenEarly).toBe(2);
    expect(partition.memory.attempts.ended.size).toBe(MAX_ENDED_ATTEMPTS + 1);
  });
});

describe('a step ends before a partial outgrows a record of the log', () => {
  /** Told by its queued event: no two share a bucket. Its other times are in two more. */
  const scattered = Array.from({ length: 2_000 }, (_, i) => {
    const queuedAtMs = T0 - (i % 1000) * 30;
    const startedAtMs = queuedAtMs + 0.002 * (1 + i);
    const times = { queuedAtMs, startedAtMs, endedAtMs: startedAtMs + 3_000 + i };
    return parsedOf({ id: `e${i}`, phase: 'completed', ...times });
  });
  const records = scattered.map((parsed, offset) => ({ offset, timestampMs: T0 + 5 * S, parsed }));
  const milliseconds = () => ({ bucketS: 0.001, latenessS: 60 });

  test('and the next takes the rest', () => {
    const memory = newIngestMemory();
    const outputs: IngestOutput[] = [];
    for (let taken = 0; taken < records.length;) {
      const input = { partition: 0, settings, admits: admitsAll, poolSettings: milliseconds };
      const { output } = ingestStep({ ...input, records: records.slice(taken) }, memory);
      outputs.push(output);
      taken += output.taken;
    }
    expect(outputs.length).toBeGreaterThan(1);
    for (const { partials } of outputs)
      for (const partial of partials) expect(JSON.stringify(partial).length).toBeLessThan(1024 * 1024);
    expect(JSON.stringify(outputs[0]?.partials).length).toBeGreaterThan(MAX_PARTIAL_BYTES / 4);
    expect(sumOf(outputs).completions).toBe(records.length);
  });
});

test('the same events spread over partitions add up to the same demand', () => {
  fc.assert(
    fc.property(
      fc.array(story, { minLength: 1, maxLength: 12 }),
      fc.infiniteStream(fc.nat(2)),
      (stories, homes) => {
        const parts = [new Partition(0), new Partition(1), new Partition(2)];
        const one = new Partition();
        stories.map(toldBy).forEach((told, i) => {
          const home = parts[homes.next().value as number] as Partition;
          for (const event of told) {
            home.take(T0 + 5000 + i, parsedOf(event));
            one.take(T0 + 5000 + i, parsedOf(event));
          }
        });
        const merged = resultOf(parts.flatMap(({ outputs }) => outputs)).buckets;
        const { buckets } = resultOf(one.outputs);
        const rounded = (all: Record<string, Bucket>) => JSON.parse(JSON.stringify(all)) as unknown;
        expect(rounded(merged)).toEqual(rounded(buckets));
      },
    ),
  );
});
