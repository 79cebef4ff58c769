import { expect, test } from '@jest/globals';
import { decide, policySchema } from '#domain/scaling';
import { decisionRecord } from './decision-record.js';

const policy = policySchema.parse({});
const nothingKnown = { demand: undefined, forecast: undefined, fleet: undefined };
const input = { nowMs: 1_800_000_000_000, pool: 'etl', bucketS: 1, seasonS: 60, policy, policyVersion: 1 };
const made = () => {
  const { decision, memory } = decide({ ...input, ...nothingKnown }, undefined);
  return JSON.parse(JSON.stringify({ v: 1, decision, memory, policyVersion: 1 }));
};

test('what the autoscaler writes is read; so is what a newer version adds', () => {
  expect(decisionRecord(made())).toEqual(made());
  const newer = made();
  Object.assign(newer.decision, { reason: 'a new one', more: 1, limits: [{ limit: 'new', from: 1, to: 2 }] });
  expect(decisionRecord(newer)).toEqual(newer);
  expect(decisionRecord({ ...made(), count: 9 })).toEqual({ ...made(), count: 9 });
});

test('what the version before writes is read: it tells no inputs', () => {
  const { inputs: _, ...decision } = made().decision;
  const expected = { ...made(), decision: { ...decision, inputs: {} } };
  expect(decisionRecord({ ...made(), decision })).toEqual(expected);
});

test('what is none is left out: without a part that somebody looks into, or with one that no table takes', () => {
  expect([undefined, null, 7, 'x', [], {}].map(decisionRecord)).toEqual(Array(6).fill(undefined));
  const { decision, memory, ...record } = made();
  for (const name of Object.keys({ v: 1, policyVersion: 1, decision, memory }))
    expect(decisionRecord({ ...made(), [name]: undefined })).toBeUndefined();
  for (const name of Object.keys(decision).filter((key) => key !== 'inputs'))
    expect([
      name,
      decisionRecord({ ...record, memory, decision: { ...decision, [name]: undefined } }),
    ]).toEqual([name, undefined]);
  for (const name of Object.keys(memory))
    expect([name, decisionRecord({ ...record, decision, memory: { ...memory, [name]: undefined } })]).toEqual(
      [name, undefined],
    );
  for (const count of [0, 1.5, 1e300, '2']) expect(decisionRecord({ ...made(), count })).toBeUndefined();
  for (const change of [{ pool: 'a\u0000' }, { explanation: 'a\u0000' }, { atMs: 1e300 }, { atMs: 1.5 }])
    expect(decisionRecord({ ...record, memory, decision: { ...decision, ...change } })).toBeUndefined();
});
