import { expect, test } from '@jest/globals';
import { TOPICS, type AtomicStep, type RecordBatch } from '#adapters/event-log';
import { mappingSchema } from '#domain/mapping';
import { TopicMapping } from './topic-mapping.js';

const T = 1_800_000_000_000;
const mapping = {
  ...mappingSchema.parse({
    each: 'runs',
    execution: '{id}',
    pool: 'web',
    status: 'completed',
    times: { endedAt: 'at' },
  }),
  name: 'jobs',
};
const counted: Record<string, number> = {};
const subject = new TopicMapping({
  source: { topic: 'jobs', mapping },
  keeping: { payload: 'redact', maxPayloadBytes: 1_000 },
  observer: {
    recordsMapped: (_, outcome, records) => void (counted[outcome] = (counted[outcome] ?? 0) + records),
  },
});

async function stepsOf(records: { value: object }[], timestampMs = T): Promise<AtomicStep[]> {
  const batch: RecordBatch = {
    topic: 'jobs',
    partition: 3,
    from: 10,
    endOffset: 10 + records.length,
    records: records.map(({ value }, i) => {
      return { key: 'k', headers: {}, offset: 10 + i, timestampMs, value: JSON.stringify(value) };
    }),
  };
  const steps: AtomicStep[] = [];
  await subject.take(batch, async (step) => void steps.push(step));
  return steps;
}
const runs = (count: number) => ({ runs: Array.from({ length: count }, (_, id) => ({ id, at: T - 10 })) });

test('a step has a bounded number of events, and each ends where a record does', async () => {
  const steps = await stepsOf(Array.from({ length: 5 }, () => ({ value: runs(900) })));
  expect(steps.map(({ offsets }) => offsets)).toEqual([
    [{ topic: 'jobs', partition: 3, offset: 13 }],
    [{ topic: 'jobs', partition: 3, offset: 15 }],
  ]);
  expect(steps.map(({ outputs }) => outputs.map(({ records }) => records.length))).toEqual([[2700], [1800]]);
});

test('however long a record waited, it becomes its events: ingest says in a dead letter what is too old to count', async () => {
  const [step] = await stepsOf([{ value: runs(1) }], T - 90 * 86_400_000);
  expect(step?.outputs).toEqual([
    { topic: TOPICS.executions, records: [expect.objectContaining({ key: 'jobs:0' })] },
  ]);
});

test('a batch that nobody can unpack is one dead letter, and counted; what follows is mapped', async () => {
  const whole = { key: '', value: '', headers: {}, offset: 14, timestampMs: T, isPart: true } as const;
  const next = { key: 'k', value: JSON.stringify(runs(1)), headers: {}, offset: 15, timestampMs: T };
  const unreadable = 'records 10 to 14: must be compressed by gzip or zstd, or not at all, got snappy';
  const records = [{ ...whole, unreadable }, next];
  const steps: AtomicStep[] = [];
  const batch = { topic: 'jobs', partition: 3, from: 10, endOffset: 16, records };
  await subject.take(batch, async (step) => void steps.push(step));
  expect(steps).toMatchObject([
    {
      outputs: [
        { topic: TOPICS.executions, records: [{ key: 'jobs:0' }] },
        {
          topic: TOPICS.deadLetters,
          records: [{ headers: { 'headroom-reason': 'unreadable', 'headroom-detail': unreadable } }],
        },
      ],
      offsets: [{ topic: 'jobs', partition: 3, offset: 16 }],
    },
  ]);
  expect(counted['unreadable']).toBe(1);
});
