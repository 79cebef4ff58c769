import kafkajs from 'kafkajs';
import type { TopicPartition } from '../event-log.js';
import { assign } from '../assignment.js';
import { bundleOf, bundlesIn } from './bundles.js';

const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol;
const VERSION = 0;

/** What a member owned when it last knew, so that it keeps it. */
export interface Claim {
  generation: number;
  bundles: number[];
}

export interface GroupMemberClaim {
  memberId: string;
  topics: string[];
  claim: Claim;
}

/** What one round of joining gives to its members. */
export interface Deal {
  assignment: Map<string, TopicPartition[]>;
  /** False: bundles that change hands are with nobody yet. All join once more, and who held them has let go by then. */
  isSettled: boolean;
}

/** What one of them learns of it. */
export interface Share {
  partitions: TopicPartition[];
  isSettled: boolean;
}

/** Members with another number of bundles cannot join: they would mean other partitions by the same id. */
export function protocolName(bundles: number): string {
  return `headroom-bundles-${bundles}`;
}

/**
 * Who reads which bundle: as even as possible, and nobody loses one without need. Members that read fewer topics than
 * others (an older version, during an update) get none while there are others, because a bundle spans all topics.
 */
export function assignBundles(given: {
  members: GroupMemberClaim[];
  bundles: number;
  partitionsOf: (topic: string) => number;
}): Deal {
  const { members, bundles, partitionsOf } = given;
  const most = Math.max(...members.map(({ topics }) => topics.length));
  const readers = members
    .filter(({ topics }) => topics.length === most)
    .toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const topics = readers[0]?.topics ?? [];
  const widest = Math.max(0, ...topics.map(partitionsOf));
  const ids = readers.map(({ memberId }) => memberId);
  const owners = assign(bundlesIn(widest, bundles), ids, ownersIn(readers));
  const held = heldByOthers(owners, members);
  for (const bundle of held) owners.delete(bundle);
  const assignment = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]));
  for (const topic of topics) {
    for (let partition = 0; partition < partitionsOf(topic); partition++) {
      const owner = owners.get(bundleOf(partition, bundles));
      if (owner !== undefined) assignment.get(owner)?.push({ topic, partition });
    }
  }
  return { assignment, isSettled: held.length === 0 };
}

/** Of two that claim a bundle, the one whose knowledge is newer has it. */
function ownersIn(members: GroupMemberClaim[]): Map<number, string> {
  const oldestFirst = members.toSorted((a, b) => a.claim.generation - b.claim.generation);
  return new Map(
    oldestFirst.flatMap(({ memberId, claim }) => claim.bundles.map((bundle) => [bundle, memberId] as const)),
  );
}

/** Bundles that others than their owners to be have. */
function heldByOthers(owners: ReadonlyMap<number, string>, members: GroupMemberClaim[]): number[] {
  return [...owners.keys()].filter((bundle) => {
    const holders = members.filter(({ claim }) => claim.bundles.includes(bundle));
    return holders.length > 0 && holders.every(({ memberId }) => memberId !== owners.get(bundle));
  });
}

export function encodeClaim({ topics, claim }: Omit<GroupMemberClaim, 'memberId'>): Buffer {
  const userData = Buffer.from(JSON.stringify(claim));
  return MemberMetadata.encode({ version: VERSION, topics, userData });
}

export function decodeClaim(metadata: Buffer): Omit<GroupMemberClaim, 'memberId'> {
  const decoded = MemberMetadata.decode(metadata);
  const claim = JSON.parse(decoded?.userData.toString() || 'null') as Claim | null;
  return { topics: decoded?.topics ?? [], claim: claim ?? { generation: -1, bundles: [] } };
}

export function encodeAssignment({ partitions, isSettled }: Share): Buffer {
  const assignment: Record<string, number[]> = {};
  for (const { topic, partition } of partitions) (assignment[topic] ??= []).push(partition);
  const userData = Buffer.from(isSettled ? '' : JSON.stringify({ isSettled }));
  return MemberAssignment.encode({ version: VERSION, assignment, userData });
}

export function decodeAssignment(bytes: Buffer): Share {
  const { assignment = {}, userData } = MemberAssignment.decode(bytes) ?? {};
  const { isSettled = true } = JSON.parse(userData?.toString() || '{}') as Partial<Share>;
  const partitions = Object.entries(assignment).flatMap(([topic, own]) =>
    own.map((partition) => ({ topic, partition })),
  );
  return { partitions, isSettled };
}
