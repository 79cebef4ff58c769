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
const holder = (memberId: string, ...bundles: number[]) =>
  member(memberId, { claim: { generation: 1, bundles } });
const deal = (members: GroupMemberClaim[]) => assignBundles({ members, bundles: BUNDLES, partitionsOf });
const assigned = (members: GroupMemberClaim[]) => deal(members).assignment;
const bundlesOf = (partitions: TopicPartition[] = []) => [
  ...new Set(partitions.map(({ partition }) => bundleOf(partition, BUNDLES))),
];
const bundlesDealt = (members: GroupMemberClaim[]) =>
  Object.fromEntries([...assigned(members)].map(([id, partitions]) => [id, bundlesOf(partitions)]));

/** Rounds until nothing changes hands any more; each member holds what it was given, as far as it held it or nobody did. */
function settled(members: GroupMemberClaim[]): { rounds: number; members: GroupMemberClaim[] } {
  const { assignment, isSettled } = deal(members);
  const next = members.map((one) => {
    const given = bundlesOf(assignment.get(one.memberId));
    const { generation, bundles } = one.claim;
    const held = isSettled ? given : given.filter((bundle) => bundles.includes(bundle));
    return { ...one, claim: { generation: generation + 1, bundles: held } };
  });
  if (isSettled) return { rounds: 1, members: next };
  const rest = settled(next);
  return { ...rest, rounds: rest.rounds + 1 };
}

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
    expect(bundlesDealt(members)).toEqual({ owner: [2, 3], old: [0, 1] });
    expect(deal(members).isSettled).toBe(true);
  }
});

test('the same members always get the same', () => {
  const members = ['x', 'y', 'z'].map((id) => member(id));
  expect(assigned(members)).toEqual(assigned(members.toReversed()));
});

test('what changes hands is with nobody until who holds it has let go', () => {
  const members = [holder('all', 0, 1, 2, 3), member('new')];
  expect(bundlesDealt(members)).toEqual({ all: [0, 1], new: [] });
  expect(deal(members).isSettled).toBe(false);
  const letGo = [holder('all', 0, 1), member('new')];
  expect(bundlesDealt(letGo)).toEqual({ all: [0, 1], new: [2, 3] });
  expect(deal(letGo).isSettled).toBe(true);
});

test('what nobody holds is dealt at once', () => {
  expect(deal([member('x'), member('y')]).isSettled).toBe(true);
  expect(deal([holder('heir', 0, 1), member('new')])).toMatchObject({ isSettled: true });
});

test('whoever joins or leaves, two rounds suffice, and shares are even', () => {
  let members = [member('m0')];
  for (const change of ['m1', 'm2', 'm3', 'm4', '-m0', 'm5', '-m3', '-m1', 'm6']) {
    if (change.startsWith('-')) members = members.filter(({ memberId }) => memberId !== change.slice(1));
    else members.push(member(change));
    const after = settled(members);
    expect(after.rounds).toBeLessThanOrEqual(2);
    members = after.members;
    const shares = members.map(({ claim }) => claim.bundles.length);
    expect(shares.reduce((sum, share) => sum + share)).toBe(BUNDLES);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
  }
});

test('a topic with fewer partitions than bundles makes fewer bundles', () => {
  const all = assigned(['m1', 'm2', 'm3'].map((id) => member(id, { topics: ['narrow.v1'] })));
  expect([...all.values()].map((partitions) => partitions.length).toSorted()).toEqual([0, 1, 1]);
});

test('members of an older version, which read fewer topics, get none while newer ones are there', () => {
  const newer = member('newer', { topics: ['a.v1', 'b.v1'] });
  const older = member('older', { claim: { generation: 9, bundles: [0, 1, 2, 3] } });
  expect([...assigned([older, newer]).values()]).toEqual([[], []]);
  const letGo = assigned([member('older'), newer]);
  expect(letGo.get('older')).toEqual([]);
  expect(letGo.get('newer')).toHaveLength(24);
  expect(assigned([older]).get('older')).toHaveLength(12);
});

test('claims and assignments survive the wire', () => {
  const claim = { topics: ['a.v1'], claim: { generation: 7, bundles: [1, 2] } };
  expect(decodeClaim(encodeClaim(claim))).toEqual(claim);
  const partitions = [
    { topic: 'a.v1', partition: 3 },
    { topic: 'b.v1', partition: 3 },
  ];
  for (const isSettled of [true, false]) {
    const share = { partitions, isSettled };
    expect(decodeAssignment(encodeAssignment(share))).toEqual(share);
  }
  expect(decodeAssignment(Buffer.alloc(0))).toEqual({ partitions: [], isSettled: true });
});
