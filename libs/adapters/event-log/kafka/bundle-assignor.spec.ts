import { expect, test } from '@jest/globals';
import type { TopicPartition } from '../event-log.js';
import {
  assignBundles,
  decodeAssignment,
  decodeClaim,
  encodeAssignment,
  encodeClaim,
  type GroupMemberClaim,
} from './bundle-assignor.js';
import { bundleOf } from './bundles.js';

const BUNDLES = 4;
const PARTITIONS: Record<string, number> = { 'a.v1': 12, 'b.v1': 12, 'narrow.v1': 2 };
const partitionsOf = (topic: string) => PARTITIONS[topic] as number;

const member = (memberId: string, given: Partial<GroupMemberClaim> = {}): GroupMemberClaim => ({
  memberId,
  topics: ['a.v1'],
  claim: { generation: -1, bundles: [] },
  ...given,
});
const assigned = (members: GroupMemberClaim[]) => assignBundles({ members, bundles: BUNDLES, partitionsOf });
const bundlesOf = (partitions: TopicPartition[] = []) => [
  ...new Set(partitions.map(({ partition }) => bundleOf(partition, BUNDLES))),
];

test('each partition has one owner, and no bundle is split', () => {
  for (let count = 1; count <= 6; count++) {
    const members = Array.from({ length: count }, (_, i) => member(`m${i}`, { topics: ['a.v1', 'b.v1'] }));
    const all = assigned(members);
    const owners = new Map<number, string>();
    for (const [memberId, partitions] of all) {
      for (const bundle of bundlesOf(partitions)) {
        expect(owners.has(bundle)).toBe(false);
        owners.set(bundle, memberId);
      }
    }
    expect([...all.values()].flat()).toHaveLength(24);
    const shares = [...all.values()].map((partitions) => bundlesOf(partitions).length);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
    expect(all.size).toBe(count);
  }
});

test('who owned a bundle keeps it, whatever the order of the members; the newer claim wins', () => {
  const old = member('old', { claim: { generation: 3, bundles: [0, 1, 2, 3] } });
  const owner = member('owner', { claim: { generation: 4, bundles: [2, 3] } });
  for (const members of [
    [old, owner],
    [owner, old],
  ]) {
    const all = assigned(members);
    expect(bundlesOf(all.get('owner'))).toEqual([2, 3]);
    expect(bundlesOf(all.get('old'))).toEqual([0, 1]);
  }
});

test('the same members always get the same', () => {
  const members = ['x', 'y', 'z'].map((id) => member(id));
  expect(assigned(members)).toEqual(assigned(members.toReversed()));
});

test('a topic with fewer partitions than bundles makes fewer bundles', () => {
  const all = assigned(['m1', 'm2', 'm3'].map((id) => member(id, { topics: ['narrow.v1'] })));
  expect([...all.values()].map((partitions) => partitions.length).toSorted()).toEqual([0, 1, 1]);
});

test('members of an older version, which read fewer topics, get none while newer ones are there', () => {
  const newer = member('newer', { topics: ['a.v1', 'b.v1'] });
  const older = member('older', { claim: { generation: 9, bundles: [0, 1, 2, 3] } });
  expect(assigned([older, newer]).get('older')).toEqual([]);
  expect(assigned([older, newer]).get('newer')).toHaveLength(24);
  expect(assigned([older]).get('older')).toHaveLength(12);
});

test('claims and assignments survive the wire', () => {
  const claim = { topics: ['a.v1'], claim: { generation: 7, bundles: [1, 2] } };
  expect(decodeClaim(encodeClaim(claim))).toEqual(claim);
  const partitions = [
    { topic: 'a.v1', partition: 3 },
    { topic: 'b.v1', partition: 3 },
  ];
  expect(decodeAssignment(encodeAssignment(partitions))).toEqual(partitions);
  expect(decodeAssignment(Buffer.alloc(0))).toEqual([]);
});
